#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# A network hook: with the word test-vlan on the kernel's command line there is a VLAN.  It tells
# whether the kernel module was there before it could have been loaded on demand.
case ${MODE:-$1} in
files) echo /bin/ip ;;
modules) printf '%s\n' 8021q not_in_this_kernel ;;
start | stop)
    read -r words </proc/cmdline
    case " $words " in *" test-vlan "*) ;; *) exit 0 ;; esac
    exec >/dev/console 2>&1
    [ ! -e /sys/module/8021q ] || echo "network hook ${MODE:-$1}: 8021q is loaded"
    set -x
    for card in /sys/class/net/e*; do card=${card##*/}; done
    if [ "${MODE:-$1}" = start ]; then
        ip link set "$card" up
        ip link add link "$card" name vlan7 type vlan id 7
        ip link set vlan7 up
    else
        ip link delete vlan7
    fi
    ;;
esac
