#!/usr/bin/env bash
# The floor: what LXC and btrfs take by themselves, with nobody between them and a shell.
#
#   floor.sh OPERATION FOLDER TEMPLATE COUNT JOBS ID [NUMBER]
#
# OPERATION is create, unchanged, change, stop or destroy, of COUNT containers in FOLDER, which is on the btrfs of TEMPLATE, a subvolume. With JOBS 1
# one after the other, else as many side by side. Containers have the same kind of link, id range (from ID), and limit as a VPS has.
set -euo pipefail
operation=$1 folder=$2 template=$3 count=$4 jobs=$5 id=$6

memory=/sys/fs/cgroup/memory/benchmark-floor file=memory.limit_in_bytes key=lxc.cgroup.memory.limit_in_bytes
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    memory=/sys/fs/cgroup/benchmark-floor file=memory.max key=lxc.cgroup2.memory.max
fi

one() { # NUMBER
    local name=benchmark-floor-$1
    local own=$folder/$name
    case $operation in
    create)
        mkdir -m 711 "$own"
        btrfs -q subvolume snapshot "$template" "$own/rootfs"
        cat > "$own/config" << END
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
lxc.uts.name = $name
lxc.rootfs.path = dir:$own/rootfs
lxc.idmap = u 0 $id 65536
lxc.idmap = g 0 $id 65536
lxc.rootfs.options = idmap=container
lxc.cgroup.relative = 0
lxc.cgroup.dir.monitor = benchmark-floor.monitor/$name
lxc.cgroup.dir.container = benchmark-floor/$name
lxc.cgroup.dir.container.inner = guest
$key = 67108864
lxc.net.0.type = veth
lxc.net.0.veth.mode = router
lxc.net.0.veth.pair = benchmark$1
lxc.net.0.name = eth0
lxc.net.0.flags = up
END
        lxc-start -P "$folder" -n "$name" > /dev/null 2>&1
        ;;
    unchanged) [ "$(lxc-info -P "$folder" -n "$name" -s -H)" = RUNNING ] ;;
    change) echo 83886080 > "$memory/$name/$file" ;;
    stop) lxc-stop -P "$folder" -n "$name" -k ;;
    destroy)
        btrfs -q subvolume delete "$own/rootfs"
        rm -r "$own"
        ;;
    esac
}

if [ $# -gt 6 ]; then
    one "$7"
elif [ "$jobs" -eq 1 ]; then
    for number in $(seq "$count"); do
        one "$number"
    done
else
    seq "$count" | xargs -P "$jobs" -n 1 "$0" "$@"
fi
