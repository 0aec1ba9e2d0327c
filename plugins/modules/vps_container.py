#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_container
short_description: Make, change, start, stop and remove a VPS
version_added: 0.1.0
description:
  - Makes a VPS from a template of this node, changes it, and brings it into the wanted run state.
  - An option that the task does not name is left as it is. A list or a section that it does name is the whole of it -
    what is not listed is removed.
  - Limits and addresses are compared with what the kernel holds. Host name, nameservers, password and keys belong to the
    guest once they are written - they are written again when the task's value changes.
options:
  name:
    description:
      - The name of the VPS, unique on its node. Up to 63 characters of C(a-z), C(0-9), C(-) and C(.).
    type: str
    required: true
  state:
    description:
      - V(present) makes the VPS and leaves its run state alone; a new one is stopped.
      - V(started), V(stopped) and V(frozen) are run states; a VPS that does not exist is made first.
      - V(restarted) stops and starts it, every time.
      - V(rescue) has it boot a fresh copy of O(rescue_template) in place of its own disk, with the same ids, addresses, keys and limits, and its
        own disk mounted in that at O(rescue_path). It stays in rescue when it reboots from inside and when the node reboots, until a task
        asks for another state than V(rescue) and V(present); what it has booted is deleted then. A VPS that runs is restarted for both.
        It needs a pool on btrfs, whatever O(storage) the VPS has.
      - V(absent) stops the VPS and deletes it with all its data, its snapshots (M(mainline.vps.vps_snapshot)) included.
        So it does with one whose record (C(vps.json)) is damaged, unless that still says that it is protected.
    type: str
    choices: [present, started, stopped, restarted, frozen, rescue, absent]
    default: started
  template:
    description:
      - The template that a new VPS is made from; see M(mainline.vps.vps_template). Needed to make one, unless it is a copy (O(clone_from)).
      - An existing VPS keeps its template; naming another one is an error, unless O(reinstall) says that its disk is to be made anew.
    type: str
  clone_from:
    description:
      - The VPS of this node whose disk a new one gets a copy of, as it is at that instant, whether it runs or not; see O(storage), which it has
        as well. Its password and keys, nameservers and search domains come with the disk where the task does not name them; limits, addresses
        and everything else do not. Host name, machine-id and SSH host keys are its own.
      - One that runs goes on; with O(storage=dir) it stands still until what it has changed is copied.
      - An existing VPS is left as it is. Not together with O(template), which is that of the source.
    type: str
  reinstall:
    description:
      - Whether the disk of an existing VPS is made anew from O(template), or from the one that it has. Name, ids, addresses, keys, password, limits and
        all else that is recorded stays; machine-id and SSH host keys are new.
      - V(if_template_differs) when O(template) is another than the VPS was made from; V(always) at every run; V(undo) puts the root file system
        before the last reinstall back, where it is kept, and deletes the one that took its place. Those before that are snapshots (O(keep_previous)).
      - A VPS that runs is stopped for it where O(restart_policy) is not V(never), or O(state) is V(restarted) or V(stopped); else it is an error.
      - A run that is killed leaves the old root file system or the new one, whole.
    type: str
    choices: [never, if_template_differs, always, undo]
    default: never
  keep_paths:
    description:
      - Paths of the VPS that a reinstall takes over from the old root file system, with owners, modes, ACLs, capabilities, hard links and holes, as in
        V([/srv, /etc/ssh]). What the template has there is replaced. A path that is not there is left to the template; RV(kept_paths) says which were.
        Where a task reinstalls nothing, it says nothing.
      - A path that is a symbolic link is kept as a link. One with more than 4096 characters below it is an error.
    type: list
    elements: str
    default: []
  keep_previous:
    description:
      - V(true) keeps the root file system that a reinstall replaces, for O(reinstall=undo); it takes room in the pool, and none of the limit of the VPS.
        V(false) deletes it at once, or in a later task. A reinstall keeps it when this is not given.
      - What an earlier reinstall had kept becomes a snapshot of the VPS then, C(before-reinstall-YYYYMMDD-HHMMSS) of the series C(reinstall), with the time,
        in UTC, at which it was put aside. M(mainline.vps.vps_snapshot) rolls back to it, removes it, or bounds how many there are, with its
        O(mainline.vps.vps_snapshot#module:series) and O(mainline.vps.vps_snapshot#module:keep). V(false) deletes what is kept, and no snapshot.
    type: bool
  rescue_template:
    description:
      - The template that a VPS boots with O(state=rescue). Not given, the one that it was made from, or that it has in rescue already.
        With another state it says nothing.
    type: str
  rescue_path:
    description:
      - Where its own disk is then - a place in C(/mnt), C(/media), C(/srv) or C(/opt), or a new directory at the top such as V(/disk). Any that would
        hide what the rescue system needs, such as V(/etc) or V(/usr/local), is an error. Not given, V(/mnt/disk), or where it is already.
        With another state it says nothing.
    type: str
  protected:
    description:
      - Whether what is on the disk of the VPS now is protected. Removing the VPS and O(reinstall) are errors until a task of its own has set this to
        V(false); so are O(mainline.vps.vps_snapshot#module:state=rolled_back) of M(mainline.vps.vps_snapshot) and
        O(mainline.vps.vps_backup#module:replace=true) of M(mainline.vps.vps_backup).
    type: bool
  storage:
    description:
      - What the disk of a new VPS is. V(btrfs) is a subvolume of the pool, which is cloned in no time, has a limit of space and
        shares what is free with all others. V(image) is a file in the pool with an ext4 of its own, which is C(diskspace) large and
        also knows C(diskinodes), soft limits and quota of users. V(dir) is a directory of what the VPS has changed, over the template (overlayfs);
        it takes what it writes, for it knows no limits of the disk, and is otherwise what a VPS has where the file system can do no more.
        See C(docs/concepts.md). A new VPS is V(btrfs) when this is not given, and V(dir) on a node whose pool is a directory on another file system.
      - V(dir) needs Linux 5.19 or later on the node unless the VPS is O(privileged).
      - An existing VPS keeps its storage; naming another one is an error.
    type: str
    choices: [btrfs, image, dir]
  hostname:
    description:
      - The host name, changed live. A new VPS has O(name) when this is not given.
    type: str
  addresses:
    description:
      - IPv4 and IPv6 addresses that the node routes to the VPS, out of its networks; see C(node_networks) of the role
        P(mainline.vps.node#role) and M(mainline.vps.vps_network).
      - "Instead of an address, V({pool: NAME}) is the next free one of a pool or of a network, and the same in every later run; with V(family),
        4 or 6, that of this family, else that of the pool's first range."
      - Added and removed live. An empty list removes all.
      - The VPS can use these and no others, whatever its root does.
    type: list
    elements: raw
  interfaces:
    description:
      - Links of the VPS in bridged networks, besides the one called C(eth0) over which the node routes O(addresses). The list is the whole of them.
      - An interface that is called C(eth0) takes the place of that link; O(addresses) is empty then. To have it back takes a restart.
      - Added, changed and removed live; all others stay up. One whose O(interfaces[].addresses) alone change stays up too; for any other change it
        is made anew.
      - The VPS can use these hardware and IP addresses and no others, tells nobody of others, and passes for no router and no DHCP server.
        Its O(firewall) and O(isolated) hold between hosts at a bridge too, where V(reject) is V(drop).
      - The way out of a family of addresses is that of O(addresses), or else the first gateway that the networks of these interfaces have.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - What it is called in the VPS, as in C(eth1). Up to 15 letters, digits, C(-) and C(_).
        type: str
        required: true
      network:
        description:
          - A bridged network; see O(mainline.vps.vps_network#module:bridge).
        type: str
        required: true
      addresses:
        description:
          - "Its addresses, out of the subnets of the network, or V({pool: NAME}) as in O(addresses). Before one is given, the node asks at the
            bridge whether somebody has it, which takes a second; then it is refused. In a VLAN of the bridge nobody is asked."
        type: list
        elements: raw
        default: []
      mac:
        description:
          - Its hardware address. Not given, one is made up when the interface is new, and kept.
        type: str
      vlan:
        description:
          - The VLAN that it is in, 1 to 4094, untagged for the VPS. The bridge must keep VLANs apart (C(vlan_filtering)).
          - Not given, that of the bridge for those who name none.
        type: int
      mtu:
        description:
          - The largest packet in bytes, 68 (with IPv6 1280) to that of the bridge. Not given, that of the bridge.
        type: int
      host_name:
        description:
          - What the node's end is called. It begins with C(vps), has up to 15 letters, digits, C(-) and C(_), and is unique on the node. Not given,
            one is made up when the interface is new, and kept.
        type: str
  nameservers:
    description:
      - Up to three DNS servers for the VPS's C(/etc/resolv.conf). A new VPS gets the node's own when this is not given or empty.
    type: list
    elements: str
  search_domains:
    description:
      - Up to six domains in which the VPS looks for short names, in its C(/etc/resolv.conf).
    type: list
    elements: str
  isolated:
    description:
      - Whether the other VPSs of the node get to this one by a rule of O(firewall) or a port of O(publish) only, whatever the default of
        O(firewall) is. A new VPS is isolated. Changed live.
    type: bool
  firewall:
    description:
      - Who may talk to the VPS, and whom it may talk to. The section is the whole of it, and changed live. Connections that are under way stay.
      - V(in) and V(out) are its two directions, as the VPS sees them. Each has C(default), V(accept), V(drop) or V(reject), which is
        V(accept) when it is not given, and C(rules), of which the first that fits a new connection counts.
      - A rule has C(action), V(accept), V(drop) or V(reject), V(accept) when it is not given; C(proto), V(tcp), V(udp) or V(icmp) (that
        of IPv6 too), any when it is not given; C(ports) that are connected to, as in V([22, 8000-8100]); and C(from), in V(out) C(to), a
        list of addresses, subnets, V(vps:NAME), V(label:KEY=VALUE), V(vps) (any of the node) and V(node) (the node itself).
      - The node is closed to its VPSs but for ping; a rule in V(out) that names V(node) opens it. The node itself always gets to a VPS.
    type: dict
  publish:
    description:
      - Ports of the node that lead to the VPS. The list is the whole of them, and changed live. What is published is open to everybody.
      - A port that leads to another VPS, or at which the node itself listens, is an error.
    type: list
    elements: dict
    suboptions:
      host:
        description:
          - The port of the node, 1 to 65535.
        type: int
        required: true
      guest:
        description:
          - The port of the VPS. Not given, the same.
        type: int
      proto:
        description:
          - The protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      address:
        description:
          - The address of the node that it is at. Not given, all that it has but its loopback, of each family that the VPS has an address of.
        type: str
  rates:
    description:
      - How fast the VPS is sent to (V(in), over each of its links) and sends (V(out), over all together), in bits per second, with a suffix K, M
        or G (powers of 1000), and V(burst), what may go at once after a pause, in bytes, with a suffix K or M (powers of 1024); what fits the
        rate when it is not given.
      - The section is the whole of it. A direction that it does not list goes as fast as the VPS's networks have it, see
        O(mainline.vps.vps_network#module:rates), and V(unlimited) is no limit whatever they have. Changed live.
    type: dict
  root_password_hash:
    description:
      - The C(crypt(5\)) hash of root's password, as C(mkpasswd) or the P(ansible.builtin.password_hash#filter) filter makes it, or V(!) for none.
    type: str
  authorized_keys:
    description:
      - SSH public keys that may log in as root. They are the whole of C(/root/.ssh/authorized_keys).
    type: list
    elements: str
  onboot:
    description:
      - Whether the VPS starts with the node. A new VPS does not, unless told so.
    type: bool
  boot_order:
    description:
      - Its place among the VPSs that start with the node, 0 to 9999. The lowest start first, those of one number side by
        side; the next when the init of each of those runs. One that fails keeps nobody back. When the node goes down they
        stop in the reverse order, with 60 seconds for each, whatever O(stop_timeout) says. A new VPS has 0.
      - Without O(onboot) it has no effect.
    type: int
  description:
    description:
      - One line of text for people.
    type: str
  labels:
    description:
      - Names and values, for inventories and for rules of O(firewall). The section is the whole of them.
    type: dict
  privileged:
    description:
      - Whether root in the VPS is root on the node, without an id range of its own. Only for guests that you trust as
        you trust the node. Takes effect at a restart.
    type: bool
  limits:
    description:
      - What the VPS may use, and the name of a plan that it is laid over, with the keys of M(mainline.vps.vps_limits). The section
        is the whole of it - a limit that neither it nor its plan lists is unlimited.
      - Changed live where the kernel can. Every value may be V(unlimited).
    type: dict
  wait:
    description:
      - What to wait for when the VPS is to run.
      - V(running) is a running init, V(network) its addresses and a way out, V(booted) its init's own word that the boot is
        through. A VPS whose init ends on the way is an error.
    type: str
    choices: [running, network, booted]
    default: running
  wait_timeout:
    description:
      - Seconds to wait for that, up to 86400.
    type: int
    default: 120
  stop_timeout:
    description:
      - Seconds that the VPS's init has for stopping before what is left is killed; V(0) kills at once.
    type: int
    default: 60
  restart_policy:
    description:
      - What to do when a change takes effect at the next start only and the VPS runs. V(never) says so in
        RV(restart_required), V(if_needed) restarts it, V(always) restarts it after any change.
    type: str
    choices: [never, if_needed, always]
    default: never
extends_documentation_fragment:
  - mainline.vps.limits.policy
  - mainline.vps.common
seealso:
  - module: mainline.vps.vps_limits
  - module: mainline.vps.vps_network
  - module: mainline.vps.vps_template
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: A VPS with limits, up and booted
  mainline.vps.vps_container:
    name: web1
    template: minimal
    addresses: [10.90.0.10]
    limits:
      memory: 512M
      cpulimit: 50
      processes: 200
      diskspace: 5G
    onboot: true
    boot_order: 10
    wait: booted

- name: More memory, live; the other limits are gone, because they are not listed
  mainline.vps.vps_container:
    name: web1
    limits:
      memory: 1G

- name: Who may log in
  mainline.vps.vps_container:
    name: web1
    hostname: www.example.com
    nameservers: [192.0.2.53]
    root_password_hash: $6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0
    authorized_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk me@example.com

- name: A web server that its neighbours and its administrators get to, at a port of the node, no faster than it pays for
  mainline.vps.vps_container:
    name: web1
    labels: {tier: web}
    publish:
      - {host: 8080, guest: 80}
    firewall:
      in:
        default: drop
        rules:
          - {proto: tcp, ports: [80, 443]}
          - {proto: tcp, ports: 22, from: [192.0.2.0/24]}
          - {proto: icmp}
      out:
        rules:
          - {proto: udp, ports: 53, to: node}
    rates: {in: 100M, out: 20M}

- name: A VPS on an ext4 of its own, with a bound on the number of files
  mainline.vps.vps_container:
    name: mail1
    template: minimal
    storage: image
    limits:
      diskspace: 2G
      diskinodes: 100000

- name: A change that needs a restart, with leave to restart
  mainline.vps.vps_container:
    name: web1
    privileged: true
    restart_policy: if_needed

- name: Stopped, with its data
  mainline.vps.vps_container:
    name: web1
    state: stopped
    stop_timeout: 20

- name: A copy of it, as it is now, to try something on
  mainline.vps.vps_container:
    name: web2
    clone_from: web1
    addresses: [10.90.0.11]

- name: A new system with the old sites and host keys; what was there before is kept
  mainline.vps.vps_container:
    name: web1
    template: minimal
    reinstall: always
    keep_paths: [/srv, /etc/ssh]
    restart_policy: if_needed

- name: Back to what was there before
  mainline.vps.vps_container:
    name: web1
    reinstall: undo
    restart_policy: if_needed

- name: Its disk is broken; boot something else, with the disk at /mnt/disk
  mainline.vps.vps_container:
    name: web1
    state: rescue
    rescue_template: minimal

- name: And from its own disk again; nobody is to remove it by mistake
  mainline.vps.vps_container:
    name: web1
    state: started
    protected: true

- name: Now somebody means it
  mainline.vps.vps_container:
    name: web1
    protected: false

- name: Gone, with its data
  mainline.vps.vps_container:
    name: web1
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be; empty where nothing is.
  returned: success
  type: list
  elements: dict
  contains:
    option:
      description: The option, a limit as C(limits.NAME).
      type: str
      sample: limits.memory
    before:
      description: What was there.
      type: raw
      sample: 512M
    after:
      description: What is there now.
      type: raw
      sample: 1G
    effect:
      description:
        - When it is felt - C(live) at once, C(start) when the stopped VPS starts, C(restart) when the running VPS restarts, C(none) never,
          for this node cannot keep the limit, and O(unsupported) says to go on.
      type: str
      sample: live
fidelity:
  description:
    - A word on each limit that the VPS is to have, those of its plan included, in the order of C(docs/limits.md). In check mode
      C(where) and C(held) are what was there before.
  returned: success, where limits are asked for
  type: list
  elements: dict
  contains:
    limit:
      description: The key.
      type: str
      sample: lockedpages
    asked:
      description: Its value, as written for a person.
      type: str
      sample: "16"
    fidelity:
      description: C(exact), C(approximate) or C(unsupported), on this node.
      type: str
      sample: approximate
    by:
      description: The kernel's control.
      type: str
      sample: RLIMIT_MEMLOCK
    why:
      description: What is not as OpenVZ has it, or why the limit cannot be kept; empty where there is nothing to say.
      type: str
      sample: counts each process apart; root of a privileged VPS is not bound
    where:
      description: The file that holds it, or the name of the call; empty where the VPS does not run.
      type: str
      sample: RLIMIT_MEMLOCK
    held:
      description: What the kernel holds there now, in its own units.
      type: str
      sample: 65536:65536
kept_paths:
  description: Which of O(keep_paths) there were.
  returned: after a reinstall that has any
  type: list
  elements: str
  sample: [/srv, /etc/ssh]
restart_required:
  description: Whether the running VPS must be restarted before all of it is felt.
  returned: success
  type: bool
  sample: false
vps:
  description: The VPS after the task; null where there is none. In check mode, as it is now.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: web1
    state:
      description: C(started), C(rescue) (it runs, but not from its own disk), C(stopped) or C(frozen).
      type: str
      sample: started
    template:
      description: The template it was made from.
      type: str
      sample: debian
    template_build:
      description:
        - Which build of it that was - C(version) counts those of its name, C(created) is when it was built, C(content) the SHA-256 of what was in it.
          Null where an older release has made the VPS.
      type: dict
      sample: {version: 3, created: "2026-11-23T22:10:27+00:00", content: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752}
    storage:
      description: What its disk is, C(btrfs), C(image) or C(dir).
      type: str
      sample: btrfs
    hostname:
      description: Its host name.
      type: str
      sample: www.example.com
    addresses:
      description: The addresses that the node routes to it.
      type: list
      elements: str
      sample: [10.90.0.10]
    interfaces:
      description:
        - Its interfaces in bridged networks, C(eth0) first and then by name, as the kernel has them on the node while it runs. What is not
          in one (C(vlan), C(mtu)) is the bridge's own.
      type: list
      elements: dict
      sample: [{name: eth1, network: backend, addresses: [10.96.0.20], mac: "02:76:2a:00:00:01", host_name: vps10752-1}]
    pooled:
      description: The pool that has given an address, by the address; those that were given by the task are not in it.
      type: dict
      sample: {203.0.113.10: customers}
    nameservers:
      description: Its nameservers; empty where it has the node's.
      type: list
      elements: str
      sample: [192.0.2.53]
    search_domains:
      description: The domains in which it looks for short names.
      type: list
      elements: str
      sample: [example.com]
    labels:
      description: Its labels.
      type: dict
      sample: {tier: web}
    isolated:
      description: Whether its neighbours get to it by a rule only.
      type: bool
      sample: true
    firewall:
      description: Its rules, without what is as it would be anyway.
      type: dict
      sample: {in: {default: drop, rules: [{action: accept, proto: tcp, ports: ["80"]}]}}
    publish:
      description: The ports of the node that lead to it.
      type: list
      elements: dict
      sample: [{proto: tcp, host: 8080, guest: 80}]
    rates:
      description: How fast its link goes, in bits per second, as the kernel holds it; what is not in it is as its networks have it.
      type: dict
      sample: {in: 100M, out: 20M}
    onboot:
      description: Whether it starts with the node.
      type: bool
      sample: true
    boot_order:
      description: Its place among those that do.
      type: int
      sample: 10
    description:
      description: The line for people.
      type: str
      sample: Shop of Example Inc.
    privileged:
      description: Whether its root is the node's root.
      type: bool
      sample: false
    protected:
      description: Whether its disk is protected from being given up.
      type: bool
      sample: false
    rescue:
      description: The C(template) that it boots in place of its own disk, and the C(path) of that in it; null where it is not in rescue.
      type: dict
      sample: {template: minimal, path: /mnt/disk}
    previous:
      description:
        - The C(template) of the root file system that it had before its last reinstall, and since when it is kept, in UTC; null where there is none.
      type: dict
      sample: {template: debian, since: "2026-01-31T12:00:00+00:00"}
    plan:
      description: The plan that its limits were laid over, null where there was none.
      type: str
      sample: small
    limits:
      description: Every limit that there is, as the kernel holds it and a person writes it. What is not in it is unlimited.
      type: dict
      sample: {memory: 512M, cpulimit: 50%, processes: "200", diskspace: 5G}
    id_base:
      description: The first uid and gid of its own range of 65536 on the node.
      type: int
      sample: 1000000000
    directory:
      description: Where it is on the node - its record, its LXC configuration, its root file system.
      type: str
      sample: /var/lib/vps/vps/web1
    host_interface:
      description: The node's end of its link over which addresses are routed, or of the interface in its place.
      type: str
      sample: vps15258
    pid:
      description: Its init's process id on the node; null where it does not run.
      type: int
      sample: 4711
    disk_used:
      description:
        - Bytes that its root file system, or its image, refers to in the pool, shared data included. With storage V(dir) its files are counted for that;
          null where they are more than can be counted in half a minute.
      type: int
      sample: 109051904
boot:
  description: What the guest's init said, C(running) or C(degraded).
  returned: when O(wait=booted) and the VPS is to run
  type: str
  sample: running
"""

from ansible_collections.mainline.vps.plugins.module_utils.options import CONTAINER as CONTAINER_OPTIONS
from ansible_collections.mainline.vps.plugins.module_utils.runner import run
from ansible_collections.mainline.vps.plugins.module_utils.subjects import CONTAINER


def main() -> None:
    """Run the module."""
    run(CONTAINER, CONTAINER_OPTIONS)


if __name__ == "__main__":
    main()
