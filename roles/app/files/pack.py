# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release consists of, on the controller: told apart by its content, and packed.

    pack.py digest          prints a line for each source of standard input, which says what is in it
    pack.py write FILE      packs the one source of standard input, as a tar

Standard input is JSON: a list of {"source": path, "strip": folders, "exclude": patterns, "group": name}. A source is a folder, or an
archive that Python reads (tar in any compression, zip). What is packed belongs to root and is read by the group: of the source's
modes only "executable or not" gets into it, and of its owners nothing. Devices and paths that lead out of the release are refused; version control is left out.
"""

from __future__ import annotations

import calendar
import dataclasses
import fnmatch
import hashlib
import io
import json
import os
import stat
import sys
import tarfile
import zipfile
from collections.abc import Iterator

LEFT_OUT = (".git", ".hg", ".svn", ".bzr", "CVS", "__pycache__")


@dataclasses.dataclass(frozen=True)
class Entry:
    path: str
    kind: str  # "folder", "file" or "link"
    executable: bool = False
    content: bytes = b""
    target: str = ""
    time: float = 0.0  # seconds since 1970


def of_folder(top: str) -> Iterator[Entry]:
    for where, folders, files in os.walk(top):
        folders[:] = sorted(each for each in folders if each not in LEFT_OUT)
        for name in sorted(folders + files):
            full = os.path.join(where, name)
            path = os.path.relpath(full, top)
            status = os.lstat(full)
            mode, time = status.st_mode, status.st_mtime
            if stat.S_ISLNK(mode):
                yield Entry(path, "link", target=os.readlink(full), time=time)
            elif stat.S_ISDIR(mode):
                yield Entry(path, "folder", time=time)
            elif stat.S_ISREG(mode):
                with open(full, "rb") as file:
                    yield Entry(path, "file", bool(mode & 0o100), file.read(), time=time)
            else:
                sys.exit(f"{full} is neither a file nor a folder nor a link.")


def of_tar(path: str) -> Iterator[Entry]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.issym():
                yield Entry(member.name, "link", target=member.linkname, time=member.mtime)
            elif member.isdir():
                yield Entry(member.name, "folder", time=member.mtime)
            elif member.isreg() or member.islnk():
                file = archive.extractfile(member)
                yield Entry(member.name, "file", bool(member.mode & 0o100), file.read() if file else b"", time=member.mtime)
            else:
                sys.exit(f"{path}: {member.name} is neither a file nor a folder nor a link.")


def of_zip(path: str) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            mode, time = member.external_attr >> 16, calendar.timegm(member.date_time)
            if member.is_dir():
                yield Entry(member.filename, "folder", time=time)
            elif stat.S_ISLNK(mode):
                yield Entry(member.filename, "link", target=archive.read(member).decode(), time=time)
            else:
                yield Entry(member.filename, "file", bool(mode & 0o100), archive.read(member), time=time)


def entries(source: str, strip: int, exclude: list[str]) -> Iterator[Entry]:
    """What is in a source, as it will be in the release."""
    if os.path.isdir(source):
        found = of_folder(source)
    elif tarfile.is_tarfile(source):  # first, for a tar may end with a zip
        found = of_tar(source)
    elif zipfile.is_zipfile(source):
        found = of_zip(source)
    else:
        sys.exit(f"{source} is neither a folder nor a tar nor a zip that Python reads.")
    for entry in found:
        parts = [each for each in entry.path.split("/") if each not in ("", ".")]
        if entry.path.startswith("/") or ".." in parts:
            sys.exit(f"{source}: {entry.path} leads out of the release.")
        parts = parts[strip:]
        if not parts or any(part in LEFT_OUT for part in parts):
            continue
        below = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude for name in (*parts, *below)):
            continue
        yield dataclasses.replace(entry, path=below[-1])


def digest(source: str, strip: int, exclude: list[str]) -> str:
    """What a source is, in twelve digits: of a folder what is in it, of an archive the file itself, which nobody has to unpack for that."""
    told = hashlib.sha256()
    if os.path.isdir(source):
        for each in sorted(entries(source, strip, exclude), key=lambda entry: entry.path):
            content = hashlib.sha256(each.content).hexdigest()
            told.update(repr((each.path, each.kind, each.executable, content, each.target)).encode(errors="surrogateescape"))
    else:
        told.update(repr((strip, exclude)).encode())
        with open(source, "rb") as file:
            while block := file.read(1 << 20):
                told.update(block)
    return told.hexdigest()[:12]


def write(path: str, source: str, strip: int, exclude: list[str], group: str) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as archive:
        for each in entries(source, strip, exclude):
            member = tarfile.TarInfo(each.path)
            member.uname, member.gname = "root", group
            member.mode = 0o750 if each.executable or each.kind == "folder" else 0o640
            member.type = {"folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "file": tarfile.REGTYPE}[each.kind]
            member.linkname, member.size = each.target, len(each.content)
            member.mtime = int(each.time)  # browsers and caches go by it
            archive.addfile(member, io.BytesIO(each.content))


def main() -> None:
    sources = json.load(sys.stdin)
    try:
        for each in sources:
            if sys.argv[1] == "write":
                write(sys.argv[2], each["source"], each["strip"], each["exclude"], each["group"])
            else:
                print(digest(each["source"], each["strip"], each["exclude"]))
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        sys.exit(f"{each['source']}: {error}")


if __name__ == "__main__":
    main()
