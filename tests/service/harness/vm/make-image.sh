#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# The first process (init=) of a machine that makes an initial RAM disk for itself, MODULES=dep, and
# writes it to the disk /dev/vdb.
exec </dev/console >/dev/console 2>&1
set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
trap 'echo "image: failed"; exec sleep infinity' EXIT
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
mount -o remount,rw /
sed -i 's/^MODULES=.*/MODULES=dep/; s/^COMPRESS=.*/COMPRESS=zstd/' /etc/initramfs-tools/initramfs.conf
mkinitramfs -o /run/initrd "$(uname -r)"
dd if=/run/initrd of=/dev/vdb bs=1M conv=fsync
trap - EXIT
echo "image: made, $(stat --format=%s /run/initrd) bytes"
exec sleep infinity
