#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_template
short_description: Build, renew, verify, move and remove the templates that VPSs are made from
version_added: 0.1.0
description:
  - A template is a read-only root file system in the node's pool, with a manifest of what it was made from. A VPS is a
    copy-on-write clone of it.
  - The same inputs do nothing the second time. Other inputs build the template anew beside the old one, which it then
    replaces in one step; VPSs keep what they were made of.
  - A template has no machine-id, no SSH host keys and no device nodes. Each VPS gets its own.
  - Each build of a name has a number (C(version)), a time and the SHA-256 of its content. A VPS's record says which build it was made from.
options:
  name:
    description:
      - The name of the template. Up to 63 characters of C(a-z), C(0-9), C(-) and C(.).
      - Needed, but with O(state=pruned).
    type: str
  state:
    description:
      - V(present) builds the template if there is none, or if it was made from something else.
      - V(latest) builds it anew beside the old one, which it then replaces in one step, even if it was made from the same - for the updates that
        its source has by now. It is a change each time, unless O(max_age) says that the one there is young enough.
      - V(absent) removes the template; while a VPS that was made from it exists, that is an error.
      - V(exported) has the template in one file on the node, at O(path), for other nodes. Nothing is done where that build is in the file already.
        The directory has to exist. A file there that is no exported template is left alone, and an error. A killed run leaves C(.FILE.vps-new) there
        for the next one.
      - V(imported) has the template that another node has exported to the file at O(path) on this one. It is the same build then, made from the
        same, so that a task with V(present) leaves it alone. It replaces what has O(name) in one step.
      - V(pruned) removes all templates that no VPS of this node was made from, but for those in O(keep) and those younger than O(max_age).
    type: str
    choices: [present, latest, absent, exported, imported, pruned]
    default: present
  max_age:
    description:
      - With O(state=latest), how old the template may be before it is built anew; with O(state=pruned), how old one that nobody uses may become. A number
        with C(s), C(m), C(h), C(d) or C(w) for seconds, minutes, hours, days or weeks. Without it, each is old enough.
      - Counted from its build, on whichever node that was.
    type: str
  verify:
    description:
      - Look at every file of the template. One that is not as it was built is a change, and the template is built anew, or imported anew with
        O(state=imported). In check mode nothing is done, and RV(differences) says which files differ. Takes about a second for 500 MB.
      - Content, mode, owner, links, ACLs, capabilities and C(user) attributes are looked at, times are not.
      - A template whose record is damaged is built anew, too. Without O(verify) it is an error.
    type: bool
    default: false
  keep:
    description:
      - With O(state=pruned), the names of templates that stay whether they are used or not.
    type: list
    elements: str
  source:
    description:
      - V(minimal) is a static busybox as init, built from the node's own in a moment, without a network.
      - V(debian) and V(ubuntu) are systems with systemd, built by mmdebstrap; takes about half a minute. V(ubuntu) needs Ubuntu's keys on
        the node (C(ubuntu-keyring) or C(ubuntu-archive-keyring)), or O(keyring).
      - V(tarball) unpacks a root file system from an archive at O(path) or O(url), which O(sha256), or O(signature) and O(keyring), vouch for.
      - V(directory) copies the tree at O(path) on the node, as it is when the template is made.
      - V(lxc) takes the newest image of O(distribution), O(release), O(architecture) and O(variant) from an LXC image server.
      - V(oci) puts the layers of an image together that is at O(path), in an OCI image layout or an archive of one, as C(skopeo copy) writes it.
        Only an image with an init makes a VPS.
      - V(vps) copies O(vps), a VPS of this node, as it is at that instant, running or not. Taken out of the copy are the machine-id, SSH host keys,
        random seeds, logs, DHCP leases, shell histories, everybody's C(.ssh), mail, root's password, temporary files, device nodes and fifos.
        The rest stays, other users and their passwords included.
      - Needed with O(state=present). With O(state=latest) or O(verify) a template that exists is made from what it was made from, where it is not given;
        but not one that was imported, for its source is what a file says.
    type: str
    choices: [minimal, debian, ubuntu, tarball, directory, lxc, oci, vps]
  suite:
    description:
      - With O(source=debian) and O(source=ubuntu), the release. C(bookworm), or C(noble), where it is not given.
    type: str
  packages:
    description:
      - With O(source=debian) and O(source=ubuntu), packages besides systemd and the basic tools of a network.
    type: list
    elements: str
  mirror:
    description:
      - With O(source=debian) and O(source=ubuntu), the mirror to build from. The mirrors of the node's own apt where it is not given.
    type: str
  components:
    description:
      - With O(source=debian) and O(source=ubuntu), the parts of the mirror. C(main), and for Ubuntu C(universe) too, where they are not given.
    type: list
    elements: str
  keyring:
    description:
      - A file on the node with public keys, as GnuPG has them or in ASCII armour.
      - With O(source=debian) and O(source=ubuntu), the keys that the mirror has to be signed with, in place of the node's own for that
        distribution. The template's apt gets them too.
      - With O(source=tarball), the keys of which one has to have made the O(signature).
    type: path
  repositories:
    description:
      - With O(source=debian) and O(source=ubuntu), repositories besides the distribution's; the template's apt has them too.
      - Needs Debian 12 or Ubuntu 22.04 at least in the template, whose apt reads keys within its list of repositories.
    type: list
    elements: dict
    suboptions:
      url:
        description: Its address.
        type: str
        required: true
      suite:
        description: Its suite; one that ends with a slash is a path, and has no components.
        type: str
        required: true
      components:
        description: Its components.
        type: list
        elements: str
      key:
        description: The public key that it is signed with, in ASCII armour. Nothing unsigned is installed.
        type: str
        required: true
  customise:
    description:
      - With O(source=debian) and O(source=ubuntu), programs that are run in the new system as root, in their order, when its packages are installed.
        Each is a list of the program and its arguments, as in V([apt-get, update]), and no text; there is no shell unless it is the program.
      - They have the node's network, and C(/proc), C(/sys) and C(/dev). No service is started. One that fails ends the build.
      - They run with the rights of the node's root, as the installation of packages does. Write what you trust.
    type: list
    elements: list
  path:
    description:
      - On the node, the archive of O(source=tarball), the tree of O(source=directory), or the image layout of O(source=oci); or the file of
        O(state=exported) and O(state=imported), a tar archive compressed by zstd whatever it is called, which root alone may read.
      - What a template of O(source=directory) or O(source=oci) was made of is not looked at again, as long as the options are the same.
    type: path
  url:
    description:
      - With O(source=tarball), the address of the archive, by HTTP or HTTPS. Not fetched again as long as O(sha256) is the same, even from
        another address; without that, as long as the options are the same.
      - What follows a C(?) or C(#) is used to fetch it, and neither kept, nor told, nor compared - it may be a signature that opens the address for an hour.
        With O(state=latest) and no O(source) the address is fetched without it, so name the source where it needs one; and where it says which archive is
        meant, use O(sha256). The same goes for the address of a O(signature).
      - With O(source=lxc), the server. C(https://images.linuxcontainers.org) where it is not given. Without TLS O(sha256) is needed.
      - A redirect is followed to HTTP and HTTPS only, and never from HTTPS to HTTP. A proxy is the one that the task's environment names.
    type: str
  sha256:
    description:
      - The SHA-256 of the archive, in hexadecimal digits. With O(source=lxc) that of the root file system's archive, which pins the image.
      - With O(state=imported) that of the file, as RV(archive) of the export told it. A file is verified without it, too, but says itself what should
        be in it.
    type: str
  signature:
    description:
      - With O(source=tarball), the detached OpenPGP signature of the archive; its address, or its path on the node.
    type: str
  ca_path:
    description:
      - With O(source=tarball) and O(source=lxc), a file on the node with the certificates to trust for HTTPS in place of the node's own.
    type: path
  image:
    description:
      - With O(source=oci), the tag of the image, or the digest of its manifest as C(sha256:...). Not needed where the layout has one image.
    type: str
  distribution:
    description:
      - With O(source=lxc), the distribution as the server calls it, as in C(debian), C(alpine) or C(rockylinux).
    type: str
  release:
    description:
      - With O(source=lxc), its release as the server calls it, as in C(bookworm) or C(9).
    type: str
  architecture:
    description:
      - With O(source=lxc) and O(source=oci), the architecture as in C(amd64). The node's own where it is not given.
    type: str
  variant:
    description:
      - With O(source=lxc), the variant. C(default) where it is not given.
    type: str
  vps:
    description:
      - With O(source=vps), the name of the VPS. The template stays as it is when the VPS changes, or goes.
    type: str
  special_files:
    description:
      - With O(source=tarball), O(source=directory), O(source=lxc) and O(source=oci), what happens to device nodes and fifos. V(refuse) fails at the first;
        V(skip) leaves them out. No VPS needs them, LXC gives each a C(/dev) of its own.
      - V(skip) where it is not given with O(source=lxc), V(refuse) with the others.
    type: str
    choices: [refuse, skip]
  setid_files:
    description:
      - With the same sources and O(state=imported), what happens to files that run with their owner's rights (set-uid, set-gid, capabilities).
        V(allow), where it is not given, because no system's C(su) is without; they are of the VPS's users, not the node's. V(refuse) fails at the first.
    type: str
    choices: [allow, refuse]
  max_size:
    description:
      - With the same sources and O(state=imported), the most bytes that all files may have, holes included, and that the archive itself may have; with a unit,
        as in V(20G). 16G where it is not given.
    type: str
  max_entries:
    description:
      - With the same sources and O(state=imported), the most files, links and directories. 1000000 where it is not given.
    type: int
notes:
  - An archive is taken for a stranger's. Names that are absolute or have C(..) in them, links that lead out of it, files behind links, owners beyond the
    65536 ids of a VPS, and more than O(max_size) and O(max_entries) allow are refused with the name of the entry, and nothing is left.
  - Archives may be compressed by gzip, xz, zstd or bzip2, or not at all. Numbers of owners, modes, times, hard links, holes, ACLs, capabilities and
    C(user) attributes are kept.
extends_documentation_fragment:
  - mainline.vps.common
seealso:
  - module: mainline.vps.vps_container
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: A template for first steps, without a network
  mainline.vps.vps_template:
    name: minimal
    source: minimal

- name: Debian with a web server and SSH
  mainline.vps.vps_template:
    name: debian
    source: debian
    suite: bookworm
    packages: [nginx-light, openssh-server]

- name: Debian with a repository of one's own, and a service that is switched off
  mainline.vps.vps_template:
    name: shop
    source: debian
    packages: [shop-server]
    repositories:
      - url: https://packages.example.org/debian
        suite: bookworm
        components: [main]
        key: "{{ lookup('file', 'packages.example.org.asc') }}"
    customise:
      - [systemctl, disable, shop-server]

- name: A root file system from the web
  mainline.vps.vps_template:
    name: alpine
    source: tarball
    url: https://dl.example.org/alpine/alpine-rootfs.tar.gz
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

- name: An image of the LXC project's server
  mainline.vps.vps_template:
    name: rocky
    source: lxc
    distribution: rockylinux
    release: "9"

- name: An image that skopeo has copied to the node
  mainline.vps.vps_template:
    name: app
    source: oci
    path: /srv/images/app
    image: latest

- name: A golden image of a VPS
  mainline.vps.vps_template:
    name: golden
    source: vps
    vps: web1

- name: The same with this week's updates; to be run as often as one likes
  mainline.vps.vps_template:
    name: debian
    state: latest
    max_age: 7d

- name: See whether any file of it has changed on the disk
  mainline.vps.vps_template:
    name: debian
    verify: true
  check_mode: true
  register: verified
  failed_when: verified.changed

- name: Build it anew if so
  mainline.vps.vps_template:
    name: debian
    verify: true

- name: Have it in a file
  mainline.vps.vps_template:
    name: debian
    state: exported
    path: /srv/debian.tar.zst
  register: export

- name: On another node, have it from that file, which has been copied there
  mainline.vps.vps_template:
    name: debian
    state: imported
    path: /srv/debian.tar.zst
    sha256: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752  # export.archive.sha256

- name: Remove what nobody has used for a month, but for what this playbook makes
  mainline.vps.vps_template:
    state: pruned
    max_age: 30d
    keep: [debian, minimal]

- name: Remove it
  mainline.vps.vps_template:
    name: debian
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
      description: The option.
      type: str
      sample: suite
    before:
      description: What was there.
      type: raw
      sample: bookworm
    after:
      description: What is there now.
      type: raw
      sample: trixie
    effect:
      description: When it is felt - C(live), for what is made of it from now on.
      type: str
      sample: live
restart_required:
  description: Never, for a template.
  returned: success
  type: bool
  sample: false
template:
  description: The template after the task; null where there is none. In check mode, as it is now.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: debian
    source:
      description: What it was made by.
      type: str
      sample: debian
    suite:
      description: The release; null where it has none.
      type: str
      sample: bookworm
    packages:
      description: The packages that were asked for.
      type: list
      elements: str
      sample: [nginx-light, openssh-server]
    mirror:
      description: The mirror that was asked for; null where it was the node's own.
      type: str
      sample: http://deb.debian.org/debian
    options:
      description: The options that it was made from, besides O(source), as a task gives them.
      type: dict
      sample: {suite: bookworm, packages: [nginx-light, openssh-server]}
    init:
      description: Which init it boots - C(systemd), C(busybox) or C(other).
      type: str
      sample: systemd
    version:
      description: Which build of this name it is; the first is 1. An imported one keeps its number, where that is higher than those before it.
      type: int
      sample: 3
    content:
      description:
        - SHA-256 of what is in it, the same on every node; of the listing C(content.mtree) beside it. Null where an older release has built it.
      type: str
      sample: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
    checksum:
      description: SHA-256 of its inputs.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    size:
      description: Bytes on disk when it was made.
      type: int
      sample: 223346688
    imported:
      description: Whether it was imported, and not built on this node.
      type: bool
      sample: false
    created:
      description: When it was made, UTC, ISO 8601.
      type: str
      sample: "2026-11-23T22:10:27+00:00"
    used_by:
      description: The VPSs of this node that were made from it, whichever build it was.
      type: list
      elements: str
      sample: [web1, web2]
    outdated:
      description: Those of them that were made from an earlier build with another content. A reinstall gives them this one.
      type: list
      elements: str
      sample: [web2]
archive:
  description: The file; null where there is none that could be told of, as in check mode before the first export.
  returned: with O(state=exported)
  type: dict
  contains:
    path:
      description: Where it is.
      type: str
      sample: /srv/debian.tar.zst
    sha256:
      description: SHA-256 of the file, for O(sha256) on other nodes.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    size:
      description: Its bytes.
      type: int
      sample: 78643200
differences:
  description:
    - What is not as it was built, after the task; in check mode, as it is now. Null where nobody knows, because an older release has built it, or its
      listing is gone. RV(changes) has what was there before.
  returned: with O(verify)
  type: dict
  contains:
    count:
      description: How many files differ.
      type: int
      sample: 1
    changed:
      description: Of the first 100 that changed, what of each.
      type: dict
      sample: {/etc/passwd: [size, content]}
    missing:
      description: The first 100 that are gone.
      type: list
      elements: str
      sample: []
    extra:
      description: The first 100 that the build did not have.
      type: list
      elements: str
      sample: []
"""

from ansible_collections.mainline.vps.plugins.module_utils.runner import run
from ansible_collections.mainline.vps.plugins.module_utils.template_subject import TEMPLATE


def main() -> None:
    """Run the module."""
    run(
        TEMPLATE,
        {
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "latest", "absent", "exported", "imported", "pruned"], "default": "present"},
            "max_age": {"type": "str"},
            "verify": {"type": "bool", "default": False},
            "keep": {"type": "list", "elements": "str"},
            "source": {"type": "str", "choices": ["minimal", "debian", "ubuntu", "tarball", "directory", "lxc", "oci", "vps"]},
            "suite": {"type": "str"},
            "packages": {"type": "list", "elements": "str"},
            "mirror": {"type": "str"},
            "components": {"type": "list", "elements": "str"},
            "keyring": {"type": "path", "no_log": False},
            "repositories": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "suite": {"type": "str", "required": True},
                    "components": {"type": "list", "elements": "str"},
                    "key": {"type": "str", "required": True, "no_log": False},
                },
            },
            "customise": {"type": "list", "elements": "list"},
            "path": {"type": "path"},
            "url": {"type": "str"},
            "sha256": {"type": "str"},
            "signature": {"type": "str"},
            "ca_path": {"type": "path"},
            "image": {"type": "str"},
            "distribution": {"type": "str"},
            "release": {"type": "str"},
            "architecture": {"type": "str"},
            "variant": {"type": "str"},
            "vps": {"type": "str"},
            "special_files": {"type": "str", "choices": ["refuse", "skip"]},
            "setid_files": {"type": "str", "choices": ["allow", "refuse"]},
            "max_size": {"type": "str"},
            "max_entries": {"type": "int"},
        },
    )


if __name__ == "__main__":
    main()
