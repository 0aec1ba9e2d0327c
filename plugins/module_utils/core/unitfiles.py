# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd, udev and the machine's network daemons are told about VPSs.

Pure: text out. Documents: systemd.unit(5), systemd.service(5), systemd.kill(5), systemd.network(5), systemd.link(5),
NetworkManager(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from .nodefiles import WRITTEN
from .places import BOOT, BOOT_UNIT, BRIDGED, BRIDGES, DISK, HOST_PREFIX, LXCPATH, NETWORK, NETWORK_UNIT, ORDER_KEY, RECURSIVE, RUNTIME, SLICE, STOP_TIMEOUT

PATHS = {
    "vps_unit": "/etc/systemd/system/vps@.service",
    "network_unit": f"/etc/systemd/system/{NETWORK_UNIT}",
    "boot_unit": f"/etc/systemd/system/{BOOT_UNIT}",
    "boot_script": BOOT,
    "lxc_unit": "/etc/systemd/system/lxc.service.d/mainline-vps.conf",
    "nftables_unit": "/etc/systemd/system/nftables.service.d/mainline-vps.conf",
    "networkd": "/etc/systemd/network/00-mainline-vps.network",
    "link": "/etc/systemd/network/00-mainline-vps.link",
    "udev": "/etc/udev/rules.d/60-mainline-vps.rules",
}


def files(pool: str, bridges: Iterable[str] = ()) -> dict[str, str]:
    """What each of them says. `bridges` are those of our making."""
    links = [f"{HOST_PREFIX}*", *bridges]
    return {
        "vps_unit": _vps_unit(pool),
        "network_unit": _NETWORK_UNIT,
        "boot_unit": _boot_unit(pool),
        "boot_script": _boot_script(pool),
        # LXC's own stops every container that there is, whoever has started it, and whenever somebody restarts it.
        "lxc_unit": f"{WRITTEN}[Service]\nExecStop=\nExecStop=-{BOOT} stop-others\n",
        # The distribution's own flushes everything, ours too, whenever it starts, reloads or stops: not for a moment longer than that.
        "nftables_unit": f"{WRITTEN}[Service]\n" + "".join(
            f"{when}=-{load}\n" for when in ("ExecStartPost", "ExecReload", "ExecStopPost") for load in (_LOAD, _LOAD_BRIDGED)
        ),
        # The node's ends of all links are LXC's, and some bridges ours: their addresses and routes stay as they are, whatever else matches them.
        "networkd": f"{WRITTEN}[Match]\nName={' '.join(links)}\n\n[Link]\nUnmanaged=yes\n",
        "link": f"{WRITTEN}[Match]\nOriginalName={' '.join(links)}\n\n[Link]\nNamePolicy=\nMACAddressPolicy=none\n",
        "udev": WRITTEN + "".join(f'SUBSYSTEM=="net", KERNEL=="{link}", ENV{{NM_UNMANAGED}}="1"\n' for link in links),
    }


def _vps_unit(pool: str) -> str:
    """One VPS. Its monitor is the main process; the guest is in cgroups below the unit's own, which LXC makes.

    The kernel's killing of one process in it must not end all of it (OOMPolicy), and a VPS may be started as often as
    somebody wants to (StartLimitIntervalSec). What LXC logged of a failure goes to the journal; the log is named here too, because
    LXC 6 does not open the one of the configuration. A disk that is to be mounted is mounted here, and unmounted when nothing of the
    VPS is left: AppArmor lets no hook of LXC's mount anything, and a monitor that was killed runs none.
    """
    disk = f"/bin/sh -c '[ ! -e {pool}/vps/%i/{DISK} ] || exec {pool}/vps/%i/{DISK} %i lxc"
    return f"""{WRITTEN}[Unit]
Description=VPS %i
RequiresMountsFor={pool}
Wants=lxcfs.service {NETWORK_UNIT}
After=lxcfs.service {NETWORK_UNIT} network.target apparmor.service lxc.service
Before={BOOT_UNIT}
IgnoreOnIsolate=yes
StartLimitIntervalSec=0

[Service]
Type=forking
Slice={SLICE}
Delegate=yes
RuntimeDirectory=vps/%i
RuntimeDirectoryPreserve=restart
PIDFile={RUNTIME}/%i/pid
ExecStartPre=-/bin/sh -c 'grep -qs {RECURSIVE} /proc/mounts || mount -o remount,nsdelegate,{RECURSIVE} /sys/fs/cgroup'
ExecStartPre={disk} pre-start'
ExecStart=/usr/bin/lxc-start --lxcpath={LXCPATH} --name=%i --logfile={pool}/vps/%i/lxc.log --logpriority=ERROR --daemon --pidfile={RUNTIME}/%i/pid
ExecStop=-/usr/bin/lxc-unfreeze --lxcpath={LXCPATH} --name=%i
ExecStop=-/usr/bin/lxc-stop --lxcpath={LXCPATH} --name=%i --timeout={STOP_TIMEOUT}
ExecStopPost=-{disk} post-stop'
ExecStopPost=-/bin/sh -c '[ "$$SERVICE_RESULT" = success ] || tail -n 20 {pool}/vps/%i/lxc.log'
TimeoutStartSec=120
TimeoutStopSec={STOP_TIMEOUT + 30}
KillMode=mixed
OOMPolicy=continue
TasksMax=infinity
LimitNPROC=infinity
"""


_LOAD = f"/usr/sbin/nft -f {NETWORK}"
_LOAD_BRIDGED = f"/bin/sh -c '[ ! -e {BRIDGED} ] || exec /usr/sbin/nft -f {BRIDGED}'"
_MAKE_BRIDGES = f"/bin/sh -c '[ ! -e {BRIDGES} ] || exec {BRIDGES}'"
# Our tables in the packet filter and our bridges, at boot, whether or not the distribution's own service is used. Where the kernel does not
# take what is of bridges, the VPSs there do not start, and all others do.
_NETWORK_UNIT = f"""{WRITTEN}[Unit]
Description=Packet filter tables and bridges of the VPSs
After=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={_LOAD}
ExecStart=-{_LOAD_BRIDGED}
ExecStart=-{_MAKE_BRIDGES}
ExecReload={_LOAD}
ExecReload=-{_LOAD_BRIDGED}
ExecReload=-{_MAKE_BRIDGES}

[Install]
WantedBy=multi-user.target
"""


def _boot_unit(pool: str) -> str:
    """The VPSs that start with the node. It stops before any of their units, so that they stop in the reverse order."""
    return f"""{WRITTEN}[Unit]
Description=VPSs that start with the node, in their order
RequiresMountsFor={pool}
After={NETWORK_UNIT} lxcfs.service network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={BOOT} start
ExecStop={BOOT} stop
TimeoutStartSec=infinity
TimeoutStopSec=infinity

[Install]
WantedBy=multi-user.target
"""


def _boot_script(pool: str) -> str:
    """The script of that unit: order by order, those of one order side by side; a VPS that fails keeps no other from starting.

    `stop-others` is what lxc.service does when it stops, for containers that are no VPSs.
    """
    return f"""#!/bin/sh
{WRITTEN}# What it does is in the journal: journalctl -u {BOOT_UNIT} -u 'vps@*'

# "ORDER NAME" of every VPS that starts with the node, as their configurations say.
list() {{ grep -sH '^{ORDER_KEY} = ' {pool}/vps/*/config | sed 's|^{pool}/vps/\\(.*\\)/config:.*= \\(.*\\)|\\2 \\1|'; }}
orders() {{ list | cut -d ' ' -f 1 | sort -u "$@"; }}
each() {{ list | sed -n "s/^$order //p" | xargs -r -I NAME "$@"; }}
# Frozen, it could not stop by itself; and a monitor that hangs must not keep the others waiting.
this='--lxcpath={LXCPATH} --name=NAME'
halt="timeout 10 lxc-unfreeze $this; timeout -k 5 {STOP_TIMEOUT + 30} lxc-stop $this --timeout={STOP_TIMEOUT}"

case $1 in
start)
    for order in $(orders -n); do
        echo "Starting the VPSs of order $order"
        each -P "$(nproc)" systemctl start vps@NAME.service
    done
    ;;
stop)
    for order in $(orders -nr); do
        echo "Stopping the VPSs of order $order"
        each -P 64 sh -c "$halt"
    done
    ;;
stop-others)
    lxc-autostart --lxcpath={LXCPATH} --shutdown --all --ignore-auto --list | while read -r name; do
        [ -e "{pool}/vps/$name" ] || lxc-stop --lxcpath={LXCPATH} --name="$name" --timeout=5 </dev/null
    done
    ;;
esac
exit 0
"""
