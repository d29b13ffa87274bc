#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: image.sh GUEST OUTPUT GENERATOR CLIENT ROOT-UUID PASSWORD PACKAGES
# Installs a Mandos client in a Debian of the archive GUEST, and makes its initial RAM disk:
# GENERATOR is initramfs-tools, dracut, or dracut-plain, which leaves systemd out; CLIENT is
# reference, ours or none.  PACKAGES is the folder with our packages.  Leaves in the folder OUTPUT: vmlinuz, initrd, keys/ and section, what
# mandos-keygen says for clients.conf.  Runs in mount and process namespaces made for it.
set -eu
guest=$1 output=$2 generator=$3 client=$4 root_uuid=$5 password=$6 packages=$7
root=$output/root
mkdir -m 755 "$root"
tar --extract --zstd --file "$guest" --directory "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/sys" # dracut makes no image for this machine without one
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
ln -s /proc/self/fd "$root/dev/fd"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export INITRD=No # dracut makes no image for each package that is installed, but one in the end
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

drivers="virtio_blk virtio_rng dm_mod dm_crypt aesni_intel xts ecb"
drivers="$drivers sha256_generic algif_skcipher af_alg ext4"
# The network card as the machine will have it: our client brings along its driver, and that of
# what it is attached to, which the disks need too.
has_driver() {
    mkdir -p "$root/sys/module/$2" "$root/sys/bus/any/drivers/$2" "$root$1"
    ln -s "/sys/module/$2" "$root/sys/bus/any/drivers/$2/module"
    ln -s "/sys/bus/any/drivers/$2" "$root$1/driver"
}
if [ "$client" = ours ]; then
    slot=/sys/devices/pci0000:00/0000:00:03.0
    has_driver "$slot" virtio_pci
    has_driver "$slot/virtio0" virtio_net
    mkdir -p "$root/sys/class/net/ens3"
    ln -s "$slot/virtio0" "$root/sys/class/net/ens3/device"
else
    drivers="$drivers virtio_pci virtio_net"
fi
echo "cryptroot UUID=$root_uuid none luks,discard,initramfs" >"$root/etc/crypttab"
echo '/dev/mapper/cryptroot / ext4 defaults 0 1' >"$root/etc/fstab"

# A hook of the administrator.
mkdir -p "$root/etc/mandos/network-hooks.d" "$root/run/packages"
install -m 755 "$(dirname "$0")/vlan-hook.sh" "$root/etc/mandos/network-hooks.d/vlan"

install_packages() { chroot "$root" apt-get install --yes --quiet=2 --no-install-recommends "$@"; }

case $generator in
dracut*)
    # dracut-network would want systemd in the image.
    if [ "$generator" = dracut ]; then install_packages dracut dracut-network; fi
    if [ "$generator" = dracut-plain ]; then install_packages dracut; fi
    cat >"$root/etc/dracut.conf.d/test.conf" <<CONF
hostonly="yes"
hostonly_mode="sloppy"
early_microcode="no"
compress="zstd"
add_drivers+=" $drivers "
filesystems+=" ext4 "
add_dracutmodules+=" $([ "$generator" = dracut-plain ] || echo systemd) crypt "
CONF
    if [ "$generator" = dracut-plain ]; then
        echo 'omit_dracutmodules+=" systemd systemd-initrd dracut-systemd "' \
            >>"$root/etc/dracut.conf.d/test.conf"
    fi
    ;;
initramfs-tools)
    sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=zstd/' \
        "$root/etc/initramfs-tools/initramfs.conf"
    echo "$drivers" | tr ' ' '\n' >>"$root/etc/initramfs-tools/modules"
    ;;
esac
case $client in
reference) install_packages mandos-client ;;
ours)
    mount --bind "$packages" "$root/run/packages"
    for package in common boot-client; do
        set -- "$@" "$(cd "$root" && echo ./run/packages/mandos-${package}_*.deb)"
    done
    shift 7
    install_packages "$@"
    ;;
esac

version=$(basename "$root"/lib/modules/*)
case $generator in
dracut*)
    chroot "$root" dracut --quiet --force --hostonly --no-hostonly-cmdline \
        --kver "$version" /boot/initrd
    ;;
*) chroot "$root" mkinitramfs -o /boot/initrd "$version" ;;
esac
cp "$root/boot/vmlinuz-$version" "$output/vmlinuz"
cp "$root/boot/initrd" "$output/initrd"
if [ "$client" != none ]; then
    printf %s "$password" >"$root/run/password"
    chroot "$root" mandos-keygen --no-ssh --name alpha --passfile /run/password >"$output/section"
    cp -r "$root/etc/keys/mandos" "$output/keys"
fi
# GnuPG leaves agents behind, which end with the namespace.
for place in run proc sys tmp dev; do umount --recursive --lazy "$root/$place"; done
rm -rf "$root"
