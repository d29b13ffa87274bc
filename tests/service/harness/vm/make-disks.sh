#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# The first process (init=) of a machine whose root, which disk.sh has made, is a workshop: it makes
# the disks of other machines, /dev/vdb and maybe /dev/vdc, with the same root on them.  Words of the
# kernel's command line: layout=NAME, uuids=ROOT,DATA.
exec </dev/console >/dev/console 2>&1
set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
export DM_DISABLE_UDEV=1 # which does not run
trap 'echo "disks: failed"; exec sleep infinity' EXIT
mount -t tmpfs tmpfs /run
read -r words </proc/cmdline
for word in $words; do
    case $word in
    layout=*) layout=${word#*=} ;;
    uuids=*) uuids=${word#*=} ;;
    esac
done
keys=/etc/workshop

# Arguments: the disk, its UUID, and the name it gets when it is unlocked.
encrypt() {
    cheap="--batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
    # shellcheck disable=SC2086 # several words
    cryptsetup luksFormat $cheap --type luks2 --uuid "$2" --cipher aes-xts-plain64 --key-size 256 \
        --key-file $keys/password "$1"
    # shellcheck disable=SC2086
    cryptsetup luksAddKey $cheap --key-file $keys/password "$1" $keys/typed
    cryptsetup open --allow-discards --key-file $keys/password "$1" "$3"
}

mkdir /run/new /run/old
case $layout in
lvm)
    encrypt /dev/vdb "${uuids%,*}" new
    vgcreate --yes --autobackup n guest /dev/mapper/new
    lvcreate --yes --autobackup n --size 32M --name swap guest
    lvcreate --yes --autobackup n --extents 100%FREE --name root guest
    mkswap /dev/mapper/guest-swap
    # The root is mounted read-only.
    dd if=/dev/mapper/cryptroot of=/dev/mapper/guest-root bs=4M
    mount -t ext4 /dev/mapper/guest-root /run/new
    ;;
btrfs)
    encrypt /dev/vdb "${uuids%,*}" new
    encrypt /dev/vdc "${uuids#*,}" new2
    mkfs.btrfs --quiet --data raid1 --metadata raid1 /dev/mapper/new /dev/mapper/new2
    # No udev tells the kernel which disks belong together.
    mount -t btrfs -o device=/dev/mapper/new,device=/dev/mapper/new2 /dev/mapper/new /run/new
    # Without what is mounted over the root.
    mount --bind / /run/old
    cp -a /run/old/. /run/new/
    umount /run/old
    ;;
esac
rm -r /run/new/etc/workshop
umount /run/new
[ "$layout" != lvm ] || vgchange --activate n guest
for name in new new2; do
    if [ -e "/dev/mapper/$name" ]; then cryptsetup close "$name"; fi
done
sync
trap - EXIT
echo "disks: made"
exec sleep infinity
