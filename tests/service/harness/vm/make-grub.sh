#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# The first process (init=) of a machine that installs GRUB on the disks /dev/vdb and /dev/vdc, whose
# first partitions are /boot of another machine with the same root.  The kernel gets the words of
# grub-words= on its command line, which are apart by commas; on /dev/vdc mandos=off as well.
exec </dev/console >/dev/console 2>&1
set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
trap 'echo "disks: failed"; exec sleep infinity' EXIT
[ -e /proc/uptime ] || mount -t proc proc /proc
[ -e /sys/class ] || mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -o remount,rw /
read -r given </proc/cmdline
for word in $given; do
    case $word in grub-words=*) words=$(echo "${word#*=}" | tr , ' ') ;; esac
done

# Arguments: the disk, and words of the kernel's command line.
install_grub() {
    cat >/etc/default/grub <<CONF
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_DISABLE_LINUX_UUID=true
GRUB_TERMINAL=serial
GRUB_CMDLINE_LINUX_DEFAULT="$2"
GRUB_CMDLINE_LINUX="console=ttyS0,115200 panic=-1 $words"
CONF
    mount "${1}1" /boot
    grub-install --target=i386-pc --boot-directory=/boot "$1"
    update-grub
    umount /boot
}
install_grub /dev/vdb ""
install_grub /dev/vdc mandos=off
sync
trap - EXIT
echo "disks: made"
exec sleep infinity
