# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that runs a program in a VPS, running or stopped: what the connection plugin and vps_command use, and a person may.

Pure: text out. Documents: lxc-attach(1), lxc-execute(1), flock(1), setpriv(1).
"""

from __future__ import annotations

from .nodefiles import WRITTEN
from .places import DISK, ENTER, LOCKS, LXCPATH, RUNTIME

PATHS = {"enter_script": ENTER}


def files(pool: str) -> dict[str, str]:
    """What it says."""
    return {"enter_script": _enter(pool)}


def _enter(pool: str) -> str:
    return f"""#!/bin/bash
{WRITTEN}# {ENTER} NAME -- PROGRAM [ARGUMENT]... runs a program as root in a VPS, running or stopped, and ends with its exit code.

fail() {{ echo "vps: $1" >&2; exit 125; }}

main() {{
    name=$1
    [ "$2" = -- ] && [ $# -ge 3 ] || fail "usage: {ENTER} NAME -- PROGRAM [ARGUMENT]..."
    case $name in '' | .* | *[!a-z0-9.-]*) fail "'$name' is no name of a VPS." ;; esac
    shift 2
    home={pool}/vps/$name
    # What else the caller has open is none of the guest's business.
    for fd in /proc/$$/fd/*; do fd=${{fd##*/}}; [ "$fd" -le 2 ] || exec {{fd}}>&-; done
    cd / && umask 022
    variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 LC_ALL=C.UTF-8 ${{TERM:+"TERM=$TERM"}})
    while [ $SECONDS -lt 120 ]; do
        [ -e "$home/config" ] || fail "there is no VPS '$name'."
        case $(lxc-info -P {LXCPATH} -n "$name" -s -H 2>/dev/null) in
        RUNNING) exec lxc-attach -P {LXCPATH} -n "$name" --clear-env "${{variables[@]/#/--set-var=}}" -- "$@" ;;
        FROZEN) fail "VPS '$name' is frozen; start it (state: started) or stop it first." ;;
        STOPPED) lock && {{ is_at_rest && offline "$@"; unlock; }} ;;
        esac
        sleep 0.1
    done
    fail "VPS '$name' is being changed by $(cat "$lock" 2>/dev/null || echo another run); waited 120 seconds."
}}

# The lock of the VPS, which every run that changes it holds; its file goes away with its holder.
lock() {{
    lock={LOCKS}/vps-$name
    mkdir -p -m 700 {LOCKS} && exec 9<>"$lock" && flock -n 9 && [ "$lock" -ef /dev/fd/9 ] && echo "process $$ (enter)" >"$lock"
}}
unlock() {{ rm -f "$lock"; exec 9>&-; }}

# Nobody is about to start it, and LXC is through with its last end.
is_at_rest() {{ [ ! -d "{RUNTIME}/$name" ] && ! grep -q "@{LXCPATH}/$name/command" /proc/net/unix; }}

# Its root file system in fresh namespaces, with its ids, and without a network. All that has been started ends with the program.
offline() {{
    run={RUNTIME}.offline
    mkdir -p -m 711 "$run"
    {{
        grep -v -E '^lxc\\.(net|hook|console|log|cgroup|signal|start|group)' "$home/config"
        printf 'lxc.%s\\n' net.0.type=empty cgroup.relative=0 cgroup.dir.container=vps.offline/"$name" \\
            cgroup.dir.container.inner=guest cgroup.dir.monitor=vps.monitor/."$name" "${{variables[@]/#/environment=}}"
        [ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo lxc.console.path=none
    }} >"$run/.$name.conf"
    [ ! -e "$home/{DISK}" ] || "$home/{DISK}" "$name" lxc pre-start || fail "the disk of VPS '$name' cannot be mounted."
    exec 3<&0
    # shellcheck disable=SC2016
    setpriv --pdeathsig KILL lxc-execute -P "$run" -n ".$name" -f "$run/.$name.conf" -- \\
        /bin/sh -c '(exec "$@"); code=$?; kill -9 -1 2>/dev/null; exit $code' sh "$@" <&3 3<&- 9>&- &
    trap 'kill -9 $!' HUP INT TERM
    wait $!
    code=$?
    [ ! -e "$home/{DISK}" ] || "$home/{DISK}" "$name" lxc post-stop
    rm -rf "$run/.$name.conf" "${{run:?}}/.$name"
    unlock
    exit "$code"
}}

main "$@"
"""
