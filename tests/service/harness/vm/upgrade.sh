#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: upgrade.sh GUEST OUTPUT OLD NEW OLD-PACKAGES NEW-PACKAGES PASSWORD CRYPTTAB FSTAB
# Upgrades the Debian of the archive GUEST, with our client, from the release OLD to NEW.  The
# folders OLD-PACKAGES and NEW-PACKAGES have our packages for each.  Leaves in the folder OUTPUT two
# folders: OLD, with the upgraded system that has our packages for OLD, and NEW, after our packages
# for NEW were installed over them.  Each has guest.tar.zst, vmlinuz and initrd, packages, which
# lists all with their versions, and section, which mandos-keygen made for clients.conf before the
# upgrade.  The packages' own scripts make the initial RAM disks, as Debian configures them.
# CRYPTTAB and FSTAB are the texts of these files.  Runs in mount and process namespaces made for
# it, and with a network.
set -eu
guest=$1 output=$2 old=$3 new=$4 packages=$5 later=$6 password=$7 crypttab=$8 fstab=$9
here=$(dirname "$0")
root=$output/root
# shellcheck source=/dev/null
. "$here/tree.sh"
unset INITRD # here each package makes an initial RAM disk
unpack_guest "$guest"
mount_all
configure "$crypttab" "$fstab"
echo update_initramfs=yes >"$root/etc/initramfs-tools/update-initramfs.conf"
chroot "$root" update-initramfs -c -k all

# Install those of our packages in a folder that a client has, without a network; they are moved to
# a new folder then.
install_ours() {
    mkdir "$root/run/packages"
    for package in common boot-client; do
        cp "$1"/mandos-${package}_*.deb "$root/run/packages/"
    done
    unshare --net chroot "$root" sh -euc \
        'apt-get install --yes --quiet=2 --no-install-recommends /run/packages/*.deb'
    mv "$root/run/packages" "$2"
}

# Keep the system as it is, in a folder of that name, with the newest kernel.
keep() {
    mkdir "$output/$1"
    version=$(find "$root/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)
    cp "$root/boot/vmlinuz-$version" "$output/$1/vmlinuz"
    cp "$root/boot/initrd.img-$version" "$output/$1/initrd"
    cp "$output/section" "$output/$1/section"
    chroot "$root" dpkg-query --show >"$output/$1/packages"
    tar --create --zstd --one-file-system --exclude='./boot/initrd.img-*' \
        --file "$output/$1/guest.tar.zst" --directory "$root" .
}

install_ours "$packages" "$output/packages"
printf %s "$password" >"$root/run/password"
chroot "$root" mandos-keygen --no-ssh --name alpha --passfile /run/password >"$output/section"
"$here/../release_upgrade.sh" "$root" "$old" "$new" "$output/packages"
keep "$old"
install_ours "$later" "$output/later"
keep "$new"
unmount_all
rm -rf "$root" "$output/packages" "$output/later" "$output/section"
