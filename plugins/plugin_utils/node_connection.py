# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's way to a node: whatever connection plugin the node's own variables ask for, as root there.

The connection plugin and the inventory plugin share it. It knows nothing of VPSs.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.text.converters import to_text
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader

from ansible_collections.mainline.vps.plugins.plugin_utils.node_shell import Answer, answer_of, command_line
from ansible_collections.mainline.vps.plugins.plugin_utils.ssh_master import share_master

MOST = 256 << 20  # bytes of each stream of a command: nobody else's memory is to be filled by a guest that talks without end
_LONGEST = 300  # characters of what others say, in a message of ours


class NodeConnection:
    """A connection to a node. `name` is what messages call it."""

    def __init__(self, variables: Mapping[str, object], *, name: str = "", no_log: bool = False, lock: int | None = None) -> None:
        """Take the node's variables (`ansible_host`, `ansible_connection`, `ansible_become` …); nothing is connected yet.

        Without `ansible_connection` it is ssh where there is an `ansible_host`, else this machine. `lock` is a descriptor that all processes
        of this run share (PlayContext.connection_lockfd). AnsibleError where a plugin is missing.
        """
        host = str(variables.get("ansible_host") or "")
        kind = str(variables.get("ansible_connection") or ("ansible.builtin.ssh" if host else "ansible.builtin.local"))
        self.name, self._lock = name or host or "localhost", lock
        context = PlayContext()
        context.remote_addr, context.no_log, context.connection = host or "localhost", no_log, kind
        self.plugin = connection_loader.get(kind, context, "/dev/null")
        if self.plugin is None:
            raise AnsibleError(f"ansible_vps_node_connection: there is no connection plugin {kind}; use for example ansible.builtin.ssh.")
        self._set_options(self.plugin, {"ansible_host": host or "localhost", **variables})
        # Output and errors stay apart, and bytes stay as they are, without a terminal in between.
        for option, value in (("use_tty", False), ("pipelining", True)):
            if self.plugin.has_option(option):
                self.plugin.set_option(option, value)
        self._become = self._become_plugin(variables)

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, most: int = MOST, prompting: Any = None) -> Answer:
        """Run a command on the node as root; exit code, output and errors are its own.

        `most`: bytes of each stream that are let through. `prompting`: a become plugin whose password something in the command may ask
        for; then all of them are. AnsibleConnectionFailure, with the node's name, where the command was not reached or its end was not seen.
        """
        if stdin and not self.plugin.has_pipelining:
            raise AnsibleError(f"node {self.name}: its connection plugin passes no standard input; use ansible.builtin.ssh or ansible.builtin.local.")
        word = secrets.token_hex(16)
        asked = prompting if prompting is not None and prompting.expect_prompt() else None
        if asked is not None and not stdin:
            stdin = b"\n"  # the password comes in this way; without anything after it, ssh would leave it open for ever
        line = command_line(argv, word=word, most=None if asked else most + 1, reads=bool(stdin))
        if self._become is not None:
            line = self._become.build_become_command(line, self.plugin._shell)
            if self._become.expect_prompt():
                if asked is not None:
                    raise AnsibleError(f"node {self.name}: passwords for become on the node and in the VPS at once are not supported; leave one out.")
                asked = self._become
        self.plugin.set_become_plugin(asked)
        with self._told(word):
            share_master(self.plugin, self._lock)
            code, output, errors = self.plugin.exec_command(line, in_data=stdin, sudoable=asked is not None)
        answer = answer_of(output, errors, word=word)
        if answer is None:
            said = brief(_without(word, errors)) or brief(_without(word, output)) or f"exit code {code}."
            raise AnsibleConnectionFailure(f"node {self.name}: the command was not run, or did not come to its end: {said}")
        if max(len(answer.output), len(answer.errors)) > most:
            raise AnsibleError(f"node {self.name}: a command said more than {most} bytes, which is all that is taken.")
        return answer

    def reset(self) -> None:
        """End the connection, so that the next command makes a new one."""
        with self._told():
            self.plugin.reset()

    def close(self) -> None:
        """Let go of it. What other tasks share stays."""
        self.plugin.close()

    @staticmethod
    def _set_options(plugin: Any, variables: Mapping[str, object]) -> None:
        prefix = f"ansible_{plugin.extras_prefix}_"
        plugin.set_options(var_options={**variables, "_extras": {name: value for name, value in variables.items() if name.startswith(prefix)}})

    def _become_plugin(self, variables: Mapping[str, object]) -> Any:
        """What makes a login on the node root; None where it is root anyway."""
        if not boolean(variables.get("ansible_become") or False, strict=False):
            return None
        method = str(variables.get("ansible_become_method") or "ansible.builtin.sudo")
        plugin = become_loader.get(method)
        if plugin is None:
            raise AnsibleError(f"ansible_vps_node_become_method: there is no become plugin {method}; use for example ansible.builtin.sudo.")
        self._set_options(plugin, {**variables, "ansible_become_user": "root"})
        return plugin

    @contextmanager
    def _told(self, word: str = "") -> Iterator[None]:
        """Whatever a connection plugin complains of is said with the node's name, in one line, and without the word of ours."""
        try:
            yield
        except AnsibleError as error:
            raise AnsibleConnectionFailure(f"node {self.name}: {brief(_without(word, error.message))}") from None
        except OSError as error:
            raise AnsibleError(f"node {self.name}: the command cannot be started on the controller: {error.strerror}.") from None


def _without(word: str, said: bytes | str) -> str:
    return to_text(said, errors="replace").replace(word, "")


def brief(said: bytes | str) -> str:
    """What others said, for a message: one line, without control characters, and not long."""
    text = " ".join(to_text(said, errors="replace").split())
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return f"{clean[:_LONGEST]}…" if len(clean) > _LONGEST else clean
