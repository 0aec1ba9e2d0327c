# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What LXC's own configuration runs at the end of each container is left out where that is lxcfs's sleep, and nothing else is."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.node import engine, lxcfs

SLEEP = "#!/bin/sh -eu\n\nsleep 0.5s\n"  # of Debian 12's lxcfs, and of today's


@pytest.fixture
def machine(tmp_path):
    """A machine's LXC with lxcfs, as Debian has them: its folder, and the hook."""
    config, hook = tmp_path / "config", tmp_path / "lxcfs" / "lxc.reboot.hook"
    hook.parent.mkdir()
    hook.write_text(SLEEP, encoding="ascii")
    (config / "common.conf.d").mkdir(parents=True)
    (config / "common.conf.d/00-lxcfs.conf").write_text(f"lxc.hook.mount = {hook.parent}/lxc.mount.hook\nlxc.hook.post-stop = {hook}", encoding="ascii")
    (config / "common.conf.d/README").write_text("lxc.hook.post-stop = /not/configuration\n", encoding="ascii")
    (config / "common.conf").write_text(f"# All.\nlxc.pty.max = 1024\nlxc.include = {config}/common.conf.d/\n", encoding="ascii")
    return config, hook


def cleared(config) -> tuple[str, ...]:
    return lxcfs.cleared(str(config))


def test_a_hook_that_only_sleeps_is_left_out(machine):
    assert cleared(machine[0]) == ("lxc.hook.post-stop",)


def test_a_comment_in_it_is_no_work(machine):
    machine[1].write_text("#!/bin/sh -eu\n# Wait for it.\nsleep 1\n", encoding="ascii")
    assert cleared(machine[0]) == ("lxc.hook.post-stop",)


@pytest.mark.parametrize("text", [None, "", "#!/bin/sh\nsleep 0.5s\ntouch /file\n", "#!/bin/sh\numount /somewhere\n", "#!/bin/sh\nsleep 1; reboot\n"])
def test_one_that_does_something_stays(machine, text):
    machine[1].unlink() if text is None else machine[1].write_text(text, encoding="ascii")
    assert cleared(machine[0]) == ()


@pytest.mark.parametrize("file", ["common.conf", "common.conf.d/50-site.conf", "userns.conf", "elsewhere.conf"])
def test_all_stay_where_somebody_has_put_one_of_his_own(machine, file):
    config, _hook = machine
    with open(config / file, "a", encoding="ascii") as opened:
        opened.write("lxc.hook.post-stop=/usr/local/bin/tell\n")
    with open(config / "common.conf", "a", encoding="ascii") as opened:
        opened.write(f"lxc.include = {config}/elsewhere.conf\nlxc.include = {config}/common.conf\n")
    assert cleared(config) == ()


def test_where_nothing_is_run_nothing_is_said(machine):
    config, _hook = machine
    (config / "common.conf.d/00-lxcfs.conf").unlink()
    assert cleared(config) == ()
    assert cleared(config / "none") == ()


def test_ours_are_run_all_the_same():
    """An empty value takes away what the files before it say, and nothing that comes after it (lxc.container.conf(5))."""
    vps = Vps(name="a", template="t", init="busybox", hostname="a", id_base=65536)
    lines = engine.render(vps, directory="/d", seccomp="/s", parts=[{"lxc.hook.post-stop": "/d/disk"}], cleared=["lxc.hook.post-stop"]).splitlines()
    place = lines.index("lxc.hook.post-stop =")
    assert not [line for line in lines[place:] if line.startswith("lxc.include")]
    assert [line for line in lines[place + 1 :] if "post-stop" in line] == ["lxc.hook.post-stop = /d/reboot", "lxc.hook.post-stop = /d/disk"]
