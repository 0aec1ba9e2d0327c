# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is asked by the inventory: the text of this file is given to its Python, and prints one line of JSON.

It uses nothing but the standard library, because nothing else is there yet, and reads only. A record is passed on as it is, without what
nobody needs to know: the controller looks at it. No guest can write what is read here. The states are LXC's, all asked at once.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess

SETTINGS = "/etc/vps/node.json"
MARK = "mainline.vps inventory "  # before the answer: a login may print something too
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RECORD_LIMIT = 1 << 20  # bytes
LXC_TIMEOUT = 20  # s
# Never the hash of a password, nor keys, nor what a later release adds without a thought of this.
TOLD = (
    "name", "template", "init", "hostname", "addresses", "nameservers", "onboot", "boot_order", "description", "privileged", "limits", "plan",
    "id_base", "storage", "labels", "interfaces", "rescue",
)


def answer(settings: str = SETTINGS) -> dict:
    """C(vpss), the records by name; C(unread), why one could not be read; C(states), LXC's words; or C(error), a sentence."""
    try:
        with open(settings, encoding="utf-8") as file:
            folder = os.path.join(json.load(file)["pool"], "vps")
    except FileNotFoundError:
        return {"error": "it is not a VPS node yet; run the role mainline.vps.node there"}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return {"error": f"its settings {settings} cannot be read ({why(error)}); restore them from a backup"}
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except PermissionError:
        return {"error": "the login is not root there; set ansible_become for the node"}
    except OSError as error:
        return {"error": f"its pool cannot be read ({folder}: {why(error)}); mount it, or run the role mainline.vps.node there"}
    vpss, unread = {}, {}
    for name in names:
        try:
            record = read(os.path.join(folder, name, "vps.json"))
        except FileNotFoundError:
            continue  # removed while we looked, or no VPS
        except PermissionError:
            return {"error": "the login is not root there; set ansible_become for the node"}
        except (OSError, ValueError, RecursionError) as error:
            unread[name] = why(error)
            continue
        vpss[name] = {key: record[key] for key in TOLD if key in record}
    try:
        return {"vpss": vpss, "unread": unread, "states": states() if vpss else {}}
    except (OSError, subprocess.SubprocessError) as error:
        return {"error": f"LXC does not say which VPSs run ({why(error)})"}


def read(path: str) -> dict:
    """A record; raises OSError or ValueError for what is none."""
    # Not blocked by what is no file. Root wrote all that is on the way, but a link here would still be no record.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        data = file.read(RECORD_LIMIT + 1)
    if len(data) > RECORD_LIMIT:
        raise ValueError(f"it is larger than {RECORD_LIMIT} bytes")
    record = json.loads(data.decode("utf-8"))
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    return record


def states() -> dict:
    """LXC's word for each container that it sees: one process for all of them."""
    environment = {"PATH": PATH, "LC_ALL": "C"}
    listed = subprocess.run(
        ["lxc-ls", "-P", "/var/lib/lxc", "--fancy", "-F", "NAME,STATE"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, check=True, timeout=LXC_TIMEOUT,
    )
    words = (line.split() for line in listed.stdout.decode("utf-8", "replace").splitlines()[1:])
    return {pair[0]: pair[1] for pair in words if len(pair) == 2}


def why(error: Exception) -> str:
    """The reason alone, short."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return str(reason)[:300]


if __name__ == "__main__":
    print(f"\n{MARK}{json.dumps(answer())}", flush=True)
