# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way into a VPS, without one: what a shell is told, how its answer is read, how files come in pieces, what is documented."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.connection import vps
from ansible_collections.mainline.vps.plugins.plugin_utils import transfer
from ansible_collections.mainline.vps.plugins.plugin_utils.node_connection import brief
from ansible_collections.mainline.vps.plugins.plugin_utils.node_shell import Answer, answer_of, command_line, variables_of_node

WORD = "0123456789abcdef"
OPTIONS = yaml.safe_load(vps.DOCUMENTATION)["options"]


def ask(argv, *, most=1 << 20, stdin=None, around="{}"):
    """What a shell of this machine answers."""
    line = command_line(argv, word=WORD, most=most, reads=stdin is not None)
    done = subprocess.run(["/bin/sh", "-c", around.format(line)], input=stdin, capture_output=True, check=False, timeout=60)
    return answer_of(done.stdout, done.stderr, word=WORD), done.returncode


def test_the_nodes_variables_are_those_of_the_vps_with_a_prefix():
    given_ = {
        "ansible_vps_node_host": "node1", "ansible_vps_node_ssh_common_args": "-v", "ansible_vps_node_become": True, "ansible_host": "x",
        "ansible_vps_name": "web1", "ansible_vps_node": "n", "ansible_vps_node_port": None,
    }
    assert variables_of_node(given_) == {"ansible_host": "node1", "ansible_ssh_common_args": "-v", "ansible_become": True}


@pytest.mark.parametrize("code", [0, 1, 125, 127, 254, 255])
def test_the_shell_itself_never_ends_with_the_commands_code(code):
    assert ask(["sh", "-c", f"exit {code}"]) == (Answer(code, b"", b""), 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_arguments_arrive_as_they_are(arguments):
    answer, _code = ask(["printf", "%s\\0", *arguments])
    assert answer.output == b"".join(text.encode() + b"\0" for text in arguments)


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=100_000))
def test_standard_input_output_and_errors_are_byte_for_byte(data):
    answer, _code = ask(["sh", "-c", "tee /dev/stderr"], stdin=data)
    assert answer == Answer(0, data, data)


def test_without_standard_input_there_is_none():
    assert ask(["cat"])[0] == Answer(0, b"", b"")


def test_what_a_login_shell_says_before_is_no_answer():
    assert ask(["echo", "own"], around="echo welcome; echo warning >&2; {}")[0] == Answer(0, b"own\n", b"")


def test_each_stream_is_cut_off_by_itself():
    answer, _code = ask(["sh", "-c", "echo 123456789; echo abcdefghi >&2; exit 4"], most=4)
    assert (answer.output, answer.errors) == (b"1234", b"abcd")


def test_an_end_that_was_not_seen_is_no_answer():
    assert answer_of(b"anything", b"Connection closed", word=WORD) is None
    assert answer_of(f"{WORD}\nout".encode(), f"{WORD}\nhalf".encode(), word=WORD) is None
    assert answer_of(b"", f"{WORD}\n{WORD}7".encode(), word=WORD) is None  # the line's end is missing, and more digits may be
    assert answer_of(b"", f"{WORD}\n{WORD}7\n".encode(), word=WORD) == Answer(7, b"", b"")


def test_what_others_say_is_one_short_line():
    assert brief(b"\x1b[31mone\r\ntwo\x00 " + b"x" * 1000) == "?[31mone two? " + "x" * 286 + "…"


def pieces(path, content):
    path.write_bytes(content)
    with open(path, "rb") as file:
        return list(transfer.pieces(file))


def test_a_small_file_is_one_piece(tmp_path):
    assert pieces(tmp_path / "file", b"x") == [transfer.Piece(0, b"x")]
    assert pieces(tmp_path / "file", b"") == [transfer.Piece(0, b"")]


def test_a_large_file_is_bounded_pieces_without_a_gap(tmp_path):
    content = bytes(range(1, 256)) * 40_000
    found = pieces(tmp_path / "file", content)
    assert b"".join(piece.data for piece in found) == content
    assert [piece.start for piece in found] == list(range(0, len(content), transfer.PIECE))
    assert max(len(piece.data) for piece in found) == transfer.PIECE


@pytest.mark.parametrize("places", [[], [0], [1 << 20], [0, 5 << 20], [(9 << 20) - 1], [123456, 7 << 20]])
def test_holes_come_and_go_as_holes(tmp_path, places):
    size, there, back = 9 << 20, tmp_path / "there", tmp_path / "back"
    with open(there, "wb") as file:
        for place in places:
            file.seek(place)
            file.write(b"x")
        file.truncate(size)
    with open(there, "rb") as file:
        found = list(transfer.pieces(file))
    assert found[0].start == 0 and found[-1].start + len(found[-1].data) == size
    for piece in found:
        subprocess.run(transfer.write_command(str(back), piece.start), input=piece.data, check=True)
    assert back.read_bytes() == there.read_bytes()
    assert sum(len(piece.data) for piece in found) <= max(1, there.stat().st_blocks * 512)
    fetched, copy = 0, tmp_path / "copy"
    with open(copy, "wb") as file:
        while fetched < size:
            data = subprocess.run(transfer.read_command(str(back), fetched), capture_output=True, check=True).stdout
            transfer.write_sparse(file, data)
            fetched += len(data)
        file.truncate(size)
    assert copy.read_bytes() == there.read_bytes()
    assert copy.stat().st_blocks * 512 <= len(places) * 8192


def test_a_name_may_be_any(tmp_path):
    path = tmp_path / "-n it's \"$HOME\"\n"
    subprocess.run(transfer.write_command(str(path), 0), input=b"content", check=True)
    assert path.read_bytes() == b"content"
    assert subprocess.run(transfer.read_command(str(path), 0), capture_output=True, check=True).stdout == b"content"


def test_an_options_variable_is_named_after_it():
    for name, option in OPTIONS.items():
        expected = {"vps": "ansible_vps_name", "remote_user": "ansible_vps_user", "pipelining": "ansible_pipelining"}.get(name, f"ansible_vps_{name}")
        assert [variable["name"] for variable in option["vars"]] == [expected]


def test_the_variables_of_the_page_and_of_the_example_are_documented():
    known = {variable["name"] for option in OPTIONS.values() for variable in option["vars"]}
    example = yaml.safe_load(vps.EXAMPLES)["all"]["children"]["guests"]["vars"]
    assert {name for name in example if "vps" in name} <= known
    page = (Path(__file__).parents[2] / "docs/access.md").read_text(encoding="utf-8")
    for name in known - {"ansible_vps_node_X"}:
        assert name in page or name.startswith("ansible_vps_node_") or name == "ansible_pipelining", name
