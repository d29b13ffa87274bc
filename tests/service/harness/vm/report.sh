#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs in the decrypted root: as the first process (init=), or as a service of the booted system.
# Tells on the console what is there, and in the end what nobody can say who has not decrypted it.
exec </dev/console >/dev/console 2>&1
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
[ -e /proc/uptime ] || mount -t proc proc /proc
if [ "$1" = journal ]; then
    journalctl --boot --priority=warning --output=short-monotonic --no-hostname --no-pager |
        sed 's/^/report journal /'
    systemctl show --property=DefaultDeviceTimeoutUSec | sed 's/^/report patience /'
fi
ps -e -o ppid=,user=,args= | sed -n '/^ *[02] /!s/^ */report process /p'
ip -oneline link show | sed 's/^/report link /'
for mapped in /dev/mapper/*; do echo "report mapped $mapped"; done
read -r uptime _ </proc/uptime
echo "booted $(cat /etc/nonce) from $(findmnt --noheadings --output SOURCE /) after $uptime"
[ $$ != 1 ] || exec sleep infinity
