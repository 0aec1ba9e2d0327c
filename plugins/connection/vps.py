# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks inside a VPS, through the connection that its node has. No sshd, no address and no key is needed in the VPS."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: vps
short_description: Run tasks inside a VPS, through its node
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Runs tasks in a VPS without an SSH server, an address or a key in it. The controller connects to the node as to any other host, and
    the node runs the commands in the VPS. All VPSs of a node share one SSH connection.
  - In a running VPS, commands run among its processes and count towards its limits. In a stopped one they run in fresh namespaces on its
    root file system, without a network and without its services, and everything that they have started ends with each of them - for
    changes while it is off. So a task with C(async) needs a running VPS.
  - Every variable C(ansible_vps_node_X) of the VPS is the variable C(ansible_X) of the connection to the node, whether it is listed here
    or not - for example C(ansible_vps_node_ssh_common_args).
  - C(become) of a task happens inside the VPS, as anywhere else. To become root on the node, see O(node_become).
notes:
  - Commands run as root of the VPS, or as O(remote_user). C(ansible_user), C(remote_user) of a play and C(--user) are about a login over
    SSH, and are not looked at. Root needs no password to become another user, and nothing at all to become itself.
  - Ansible's options C(--ask-pass) and C(--private-key) are about the VPS; what the node's login needs is in the variables.
  - Of what a command in the VPS prints, 256 MiB of output and as much of errors are taken. One that prints more fails.
  - Modules need Python in the VPS. M(ansible.builtin.raw) and M(ansible.builtin.script) need C(/bin/sh) only. Files are transferred with
    C(cat), C(dd) and C(head).
requirements:
  - The node has been prepared by this collection's role C(mainline.vps.node), or by M(mainline.vps.vps_node).
options:
  vps:
    description:
      - Name of the VPS.
      - By default C(ansible_host), and without it the name in the inventory.
    type: str
    vars:
      - name: ansible_vps_name
  remote_user:
    description:
      - User inside the VPS that commands run as, by C(su). It needs a password to become another.
    type: str
    default: root
    vars:
      - name: ansible_vps_user
  node:
    description:
      - The node. Where it is a host of the inventory, as those of P(mainline.vps.vps#inventory) are, its own variables are those of the
        connection to it, unless C(ansible_vps_node_X) of the VPS says otherwise.
      - Else it is only what error messages call the node, by default O(node_host), and without it C(localhost).
    type: str
    vars:
      - name: ansible_vps_node
  node_connection:
    description:
      - Connection plugin to the node.
      - By default P(ansible.builtin.ssh#connection) where O(node_host) is given. Otherwise the controller itself is the node, and it is
        P(ansible.builtin.local#connection).
    type: str
    vars:
      - name: ansible_vps_node_connection
  node_host:
    description:
      - Address of the node.
    type: str
    vars:
      - name: ansible_vps_node_host
  node_port:
    description:
      - Port of the node's SSH server.
      - By default what SSH is configured to use.
    type: int
    vars:
      - name: ansible_vps_node_port
  node_user:
    description:
      - User to log in to the node as.
      - By default what SSH is configured to use.
    type: str
    vars:
      - name: ansible_vps_node_user
  node_password:
    description:
      - Password of O(node_user). Without one, SSH uses keys.
    type: str
    vars:
      - name: ansible_vps_node_password
  node_become:
    description:
      - Whether to become root on the node, which is necessary where O(node_user) is another.
    type: bool
    default: false
    vars:
      - name: ansible_vps_node_become
  node_become_method:
    description:
      - Become plugin for the node.
    type: str
    default: ansible.builtin.sudo
    vars:
      - name: ansible_vps_node_become_method
  node_become_password:
    description:
      - Password to become root on the node.
      - Together with a password to become another user inside the VPS, which only a O(remote_user) other than V(root) needs, it is
        refused.
    type: str
    vars:
      - name: ansible_vps_node_become_password
  fetch_limit:
    description:
      - Size of the largest file that is fetched from a VPS, which could send one without end. V(unlimited) for none.
    type: str
    default: 16G
    vars:
      - name: ansible_vps_fetch_limit
  pipelining:
    description:
      - Sends modules through the standard input of the VPS's Python, instead of files, which takes half of the time or less.
    type: bool
    default: true
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
    vars:
      - name: ansible_pipelining
"""

EXAMPLES = r"""
# An inventory by hand: two VPSs of a node that is reached over SSH, by a user who may use sudo.
all:
  children:
    guests:
      hosts:
        web1:
        web2:
      vars:
        ansible_connection: mainline.vps.vps
        ansible_vps_node_host: node1.example.com
        ansible_vps_node_user: admin
        ansible_vps_node_become: true
"""

import secrets
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase

from ansible_collections.mainline.vps.plugins.module_utils.core.enterfile import PREFIX, REFUSED
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, shown
from ansible_collections.mainline.vps.plugins.module_utils.core.parse import parse_name
from ansible_collections.mainline.vps.plugins.module_utils.core.places import ENTER
from ansible_collections.mainline.vps.plugins.module_utils.core.units import parse_size
from ansible_collections.mainline.vps.plugins.plugin_utils import node_variables, transfer
from ansible_collections.mainline.vps.plugins.plugin_utils.node_connection import NodeConnection, brief
from ansible_collections.mainline.vps.plugins.plugin_utils.node_shell import PREFIX as PREFIX_OF_NODE
from ansible_collections.mainline.vps.plugins.plugin_utils.node_shell import Answer, variables_of_node


class Connection(ConnectionBase):
    """What Ansible calls."""

    transport = "mainline.vps.vps"
    has_pipelining = True
    allow_extras = True  # all of ansible_vps_node_*
    default_user = "root"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._given: dict[str, Any] = {}
        self._made: NodeConnection | None = None

    def set_options(self, task_keys: Any = None, var_options: Mapping[str, Any] | None = None, direct: Any = None) -> None:
        """Keep the variables: those of the node are not known by their names here."""
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        given = dict(var_options or {})
        self._given, self._made = {**given.pop("_extras", {}), **given}, None

    def _resolve_option_variables(self, variables: Mapping[str, Any], templar: Any) -> dict[str, Any]:
        """The values of the variables that are ours; below them those of the node, as the play knows it by now."""
        found = super()._resolve_option_variables(variables, templar)
        known = node_variables.from_hostvars(found.get("ansible_vps_node"), variables.get("hostvars") or {})
        return {**found, "_extras": {**known, **found.get("_extras", {})}}

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command in the VPS."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        answer = self._run(["/bin/sh", "-c", to_text(cmd, errors="surrogate_or_strict")], stdin=in_data, prompting=self.become if sudoable else None)
        return answer.code, answer.output, answer.errors

    def put_file(self, in_path: str, out_path: str) -> None:
        """Write a file of the controller into the VPS, in pieces; what is a hole stays one."""
        super().put_file(in_path, out_path)
        try:
            with open(to_bytes(in_path, errors="surrogate_or_strict"), "rb") as file:
                for piece in transfer.pieces(file):
                    self._piece(transfer.write_command(out_path, piece.start), out_path, "written", stdin=piece.data)
        except FileNotFoundError:
            raise AnsibleFileNotFound(f"there is no file {in_path} on the controller.") from None
        except OSError as error:
            raise AnsibleError(f"{in_path} cannot be read on the controller: {error.strerror}.") from None

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Write a file of the VPS to the controller, in pieces; what is zeros becomes a hole."""
        super().fetch_file(in_path, out_path)
        limit, size, whole = self._fetch_limit(), 0, True
        try:
            with open(to_bytes(out_path, errors="surrogate_or_strict"), "wb") as file:
                while whole:
                    data = self._piece(transfer.read_command(in_path, size), in_path, "read", most=transfer.PIECE).output
                    transfer.write_sparse(file, data)
                    size, whole = size + len(data), len(data) == transfer.PIECE
                    if limit is not None and size > limit:
                        raise AnsibleError(f"{shown(in_path)} of VPS {self._name()} is larger than {limit} bytes; ansible_vps_fetch_limit may be raised.")
                file.truncate(size)
        except OSError as error:
            raise AnsibleError(f"{out_path} cannot be written on the controller: {error.strerror}.") from None

    def reset(self) -> None:
        """End the connection to the node, so that the next task makes a new one."""
        self._node().reset()
        self.close()

    def close(self) -> None:
        """Let go of the node. What SSH keeps open stays for other tasks."""
        if self._made is not None:
            self._made.close()
        self._made, self._connected = None, False

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def _node(self) -> NodeConnection:
        if self._made is None:
            context = self._play_context
            name, way = str(self.get_option("node") or ""), variables_of_node(self._given)
            if name and not way:  # else a mistyped one would be this machine, which may have a VPS of that name too
                raise AnsibleError(f"ansible_vps_node: {shown(name)} is no host of the inventory; name one, or say with ansible_vps_node_host where it is.")
            unknown = sorted(set(way) - set(node_variables.known(way)))
            if unknown:
                raise AnsibleError(f"{PREFIX_OF_NODE}{unknown[0].removeprefix('ansible_')}: the connection to the node has no variable {unknown[0]}.")
            self._made = NodeConnection(way, name=name, no_log=bool(context.no_log), lock=context.connection_lockfd)
        return self._made

    def _name(self) -> str:
        """The VPS. A task that is delegated to it knows its name as an address only."""
        try:
            return parse_name(str(self.get_option("vps") or self._play_context.remote_addr or ""), option="ansible_vps_name")
        except VpsError as error:
            raise AnsibleError(str(error)) from None

    def _fetch_limit(self) -> int | None:
        try:
            return parse_size(str(self.get_option("fetch_limit")), option="ansible_vps_fetch_limit")
        except VpsError as error:
            raise AnsibleError(str(error)) from None

    def _piece(self, argv: Sequence[str], path: str, done: str, **how: Any) -> Answer:
        """A part of a transfer, which may not fail."""
        answer = self._run(argv, **how)
        if answer.code != 0:
            raise AnsibleError(f"{shown(path, 200)} of VPS {self._name()} cannot be {done}: {brief(answer.errors) or f'exit code {answer.code}'}")
        return answer

    def _run(self, argv: Sequence[str], **how: Any) -> Answer:
        """Run a command in the VPS. AnsibleConnectionFailure where the VPS or its node is what fails, and not the command."""
        user = str(self.get_option("remote_user") or "root")
        if user != "root":
            argv = ["su", "-s", "/bin/sh", "-c", shlex.join(argv), "--", user]
        name, node, sign = self._name(), self._node(), secrets.token_hex(8)
        answer = node.run([ENTER, "-s", sign, name, "--", *argv], **how)
        if answer.code in (REFUSED, 126, 127):
            self._complain(answer, PREFIX.format(sign).encode(), name, node)
        return answer

    def _complain(self, answer: Answer, refused: bytes, name: str, node: NodeConnection) -> None:
        """Say it where a command did not run for want of what is the node's to have. Else it is the command's own exit code."""
        if node.run(["test", "-O", "/"]).code != 0:
            raise AnsibleConnectionFailure(f"node {node.name}: its login is not root; set ansible_vps_node_become, or log in as root.")
        if node.run(["test", "-x", ENTER]).code != 0:
            raise AnsibleConnectionFailure(f"node {node.name}: it has no {ENTER}; prepare it with the role mainline.vps.node.")
        if answer.code == REFUSED and answer.errors.startswith(refused):
            raise AnsibleConnectionFailure(f"VPS {name} on node {node.name}: {brief(answer.errors[len(refused) :])}")
