#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: release_upgrade.sh ROOT OLD NEW PACKAGES [REPOSITORY]
# Upgrades the Debian in the directory ROOT from the release OLD to NEW, as an administrator does:
# first the packages of ours in the folder PACKAGES are installed, then the sources name the new
# release, then apt-get full-upgrade.  REPOSITORY is a folder with newer packages of ours, which
# apt finds during the upgrade.  What is printed is what apt-get prints.
# ROOT has its own file system or can be changed.  Runs in mount and process namespaces made for it.
set -eu
root=$1 old=$2 new=$3 packages=$4 repository=${5:-}
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/packages" "$root/run/repository"
mount --bind "$packages" "$root/run/packages"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# Nothing starts in a root that does not run.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
in_root() { chroot "$root" "$@"; }
apt() { in_root apt-get --yes --quiet --no-install-recommends -o Dpkg::Use-Pty=0 "$@"; }

# Where there is no kernel: one as far as the makers of initial RAM disks look at it.
if ! ls "$root"/boot/vmlinuz-* >/dev/null 2>&1; then
    mkdir -p "$root/boot" "$root/lib/modules/1.0-test"
    for name in modules.order modules.builtin modules.builtin.modinfo; do
        : >"$root/lib/modules/1.0-test/$name"
    done
    echo 'no kernel' >"$root/boot/vmlinuz-1.0-test"
    printf 'CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n' >"$root/boot/config-1.0-test"
    in_root update-initramfs -c -k 1.0-test
fi
apt update
in_root sh -euc 'apt-get --yes --quiet --no-install-recommends install /run/packages/*.deb'

sed -i "s/$old/$new/" "$root/etc/apt/sources.list"
if [ -n "$repository" ]; then
    mount --bind "$repository" "$root/run/repository"
    echo 'deb [trusted=yes] file:/run/repository ./' >>"$root/etc/apt/sources.list"
fi
apt update
apt full-upgrade
in_root dpkg --audit
sed -i '\,file:/run/repository,d' "$root/etc/apt/sources.list"
rm "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/cache/apt/archives/*.deb
# For a machine without a network: the packages of ours for Debian 13 want this.
apt --download-only install libgnutls30t64
for place in run/packages run/repository run tmp proc; do
    umount "$root/$place" 2>/dev/null || true
done
