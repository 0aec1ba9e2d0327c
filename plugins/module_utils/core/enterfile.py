# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that runs a program in a VPS, running or stopped: what the connection plugin and vps_command use, and a person may.

Pure: text out. Documents: lxc-attach(1), lxc-execute(1), lxc.container.conf(5), flock(1), setpriv(1), prctl(2).
"""

from __future__ import annotations

from .nodefiles import WRITTEN
from .places import DISK, ENTER, GROUP_VARIABLE, LOCKS, LXCPATH, OFFLINE, RUNTIME, STOPPED_CGROUP, STOPPED_MONITOR

PATHS = {"enter_script": ENTER}
REFUSED = 125  # its exit code where it has not run the program, and says why after "vps: "
PREFIX = "vps {}: "  # what a refusal begins with, for whoever has given a sign
PATIENCE = 120  # s, that it waits for whoever changes a VPS, unless it is told otherwise


def files(pool: str) -> dict[str, str]:
    """What it says."""
    return {"enter_script": _enter(pool)}


def _enter(pool: str) -> str:
    """Bash, for it alone can close descriptors above 9, which LXC would pass on to the guest.

    Running, LXC attaches the program to the VPS; one whose caller is killed goes on, as it would under sshd without a terminal: it finds
    its pipes closed. Stopped, the script waits for the program, with the VPS's lock, which it passes on to nobody: should it be
    killed, LXC's monitor is (PDEATHSIG), and with it everything in the namespaces. LXC's init waits for all that was started, and
    would do so for ever where that is a daemon, so that a shell kills it first. Where init is killed, by the kernel for memory
    say, lxc-execute kills its process group: it has one of its own. A terminal is never the guest's: LXC gives it another.
    """
    return f"""#!/bin/bash
{WRITTEN}# Runs a program in a VPS, running or stopped, and ends with its exit code; with {REFUSED}, and why, where it cannot be run.
# No program in a VPS can say so in its place: it does not know the sign that the caller has given.
usage='{ENTER} [-s SIGN] [-w SECONDS] [-u UID -g GID] [-c CGROUP]... [VARIABLE=VALUE]... NAME -- PROGRAM [ARGUMENT]...'

fail() {{ echo "vps${{sign:+ $sign}}: $1" >&2; exit {REFUSED}; }}

main() {{
    patience={PATIENCE} user=() cgroups=()
    variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 LC_ALL=C.UTF-8)
    [[ ${{TERM@a}} != *x* ]] || variables+=("TERM=$TERM")  # the caller's; bash has one of its own, too
    while getopts :s:w:u:g:c: option; do
        case $option in
        s) sign=$OPTARG ;;
        w) patience=$OPTARG ;;
        u | g) user+=("-$option" "$OPTARG") ;;
        c) cgroups+=("$OPTARG") ;;
        *) fail "usage: $usage" ;;
        esac
    done
    shift $((OPTIND - 1))
    while [[ $1 == *=* ]]; do variables+=("$1"); shift; done
    name=$1
    [ "$2" = -- ] && [ $# -ge 3 ] || fail "usage: $usage"
    case $name in .* | *[!a-z0-9.-]*) fail "'${{name//[^ -~]/?}}' is no name of a VPS." ;; esac
    shift 2
    home={pool}/vps/$name lock={LOCKS}/vps-$name run={OFFLINE}/$name
    # What else the caller has open is none of the guest's business.
    for fd in /proc/$$/fd/*; do fd=${{fd##*/}}; [ "$fd" -le 2 ] || exec {{fd}}>&-; done
    cd / && umask 022
    while [ -e "$home/config" ] || fail "there is no VPS '$name'."; do
        case $(lxc-info -P {LXCPATH} -n "$name" -s -H 2>/dev/null) in
        RUNNING) attach "$@" ;;
        FROZEN) fail "VPS '$name' is frozen; start it (state: started) or stop it first." ;;
        STOPPED) take_lock && {{ is_at_rest && execute "$@"; drop_lock; }} ;;
        esac
        [ $SECONDS -lt "$patience" ] || break
        sleep 0.1
    done
    fail "VPS '$name' is being changed by $(cat "$lock" 2>/dev/null || echo another run); waited $patience seconds."
}}

# Into the VPS's namespaces, its seccomp profile and its cgroup, or into those below it that are given.
attach() {{
    for cgroup in "${{cgroups[@]}}"; do echo $$ >"$cgroup/cgroup.procs" || fail "VPS '$name' has been restarted."; done
    exec lxc-attach -P {LXCPATH} -n "$name" ${{cgroups:+--elevated-privileges=CGROUP}} "${{user[@]}}" --clear-env "${{variables[@]/#/--set-var=}}" -- "$@"
}}

# The lock of whoever works on the VPS; its file goes away with its holder.
take_lock() {{ mkdir -p -m 700 {LOCKS} && exec 9<>"$lock" && flock -n 9 && [ "$lock" -ef /dev/fd/9 ] && printf %s "process $$ (enter)" >"$lock"; }}
drop_lock() {{ rm -f "$lock"; exec 9>&-; }}

# Nobody is about to start it, and LXC is through with its last end.
is_at_rest() {{ [ ! -d "{RUNTIME}/$name" ] && ! grep -q "@{LXCPATH}/$name/command$" /proc/net/unix; }}

# In fresh namespaces over its root file system: its ids and limits, no network. What the program leaves running ends with it.
# The root of a VPS passes through the folders, as LXC wants it to.
execute() {{
    grep -qs {GROUP_VARIABLE} "$home/start" || fail "the files of VPS '$name' are of an older release; run vps_container for it first."
    clean
    mkdir -p -m 711 {OFFLINE} && mkdir -m 711 "$run" || fail "there is no room in {OFFLINE}."
    cat >"$run/config" <<END
lxc.include = $home/config
lxc.log.file = $run/log
lxc.console.logfile =
lxc.net =
lxc.net.0.type = empty
lxc.hook.pre-start =
lxc.hook.post-stop =
lxc.hook.start-host =
lxc.hook.start-host = $home/start
lxc.hook.start-host = /bin/sh -c ': >$run/started' sh
lxc.cgroup.dir.monitor = {STOPPED_MONITOR}$name
lxc.cgroup.dir.container = {STOPPED_CGROUP}$name
END
    [ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo 'lxc.console.path = none' >>"$run/config"
    [ ! -e "$home/{DISK}" ] || "$home/{DISK}" "$name" lxc pre-start || fail "the disk of VPS '$name' cannot be mounted; see $home/lxc.log."
    exec 3<&0
    # shellcheck disable=SC2016
    {GROUP_VARIABLE}={STOPPED_CGROUP}$name setsid setpriv --pdeathsig KILL lxc-execute -q -P {OFFLINE} -n "$name" "${{user[@]}}" -- /bin/sh -c '
        while [ "$1" != -- ]; do export "$1"; shift; done; shift
        exec 3>&2 2>/dev/null  # what a shell says of a signal
        (exec 2>&3 3>&-; exec "$@"); code=$?
        kill -9 -1; exit $code
    ' sh "${{variables[@]}}" -- "$@" <&3 3<&- 9>&- &
    trap 'stop 129' HUP
    trap 'stop 130' INT
    trap 'stop 143' TERM
    wait $!
    wait $!  # a signal ends the first
    code=${{ended:-$?}}
    [ ! -e "$home/{DISK}" ] || "$home/{DISK}" "$name" lxc post-stop
    [ -e "$run/started" ] || why=$(sed -n 's/.* ERROR .* - [^ ]* - //p' "$run/log" | head -n 1)
    clean
    drop_lock
    [ -z "${{why+x}}" ] || fail "VPS '$name' cannot be entered: ${{why:-LXC does not say why}}."
    exit "$code"
}}

stop() {{
    ended=$1
    timeout -k 1 10 lxc-stop -P {OFFLINE} -n "$name" -k 3<&- 9>&- 2>/dev/null || kill -9 $!
}}

# What this run, or one that was killed, has left.
clean() {{
    rm -rf "$run"
    for cgroup in /sys/fs/cgroup{{,/*}}/{{{STOPPED_CGROUP},{STOPPED_MONITOR}}}"$name"; do
        [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {{}} \\;
    done
}}

main "$@"
"""
