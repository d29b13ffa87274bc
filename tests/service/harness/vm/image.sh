#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: image.sh GUEST OUTPUT GENERATOR CLIENT PASSWORD PACKAGES CRYPTTAB FSTAB DRACUT-MODULES [PACKAGE...]
# Installs a Mandos client in a Debian of the archive GUEST, and makes its initial RAM disk:
# GENERATOR is initramfs-tools, dracut, or dracut-plain, which leaves systemd out; CLIENT is
# reference, ours or none.  PACKAGES is the folder with our packages.  CRYPTTAB and FSTAB are the
# texts of these files; each PACKAGE is installed, too, and each of DRACUT-MODULES is used.
# Leaves in the folder OUTPUT: vmlinuz, initrd, keys/ and section, which mandos-keygen makes for
# clients.conf, and ssh-key where the image has an SSH server.  Runs in mount and process namespaces made for it.
set -eu
guest=$1 output=$2 generator=$3 client=$4 password=$5 packages=$6 crypttab=$7 fstab=$8 modules=$9
shift 9
root=$output/root
# shellcheck source=/dev/null
. "$(dirname "$0")/tree.sh"
unpack_guest "$guest"
mount_all
configure "$crypttab" "$fstab"

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
# A hook of the administrator.
mkdir -p "$root/etc/mandos/network-hooks.d" "$root/run/packages"
install -m 755 "$(dirname "$0")/vlan-hook.sh" "$root/etc/mandos/network-hooks.d/vlan"

if [ $# -gt 0 ]; then install_packages "$@"; fi
if [ -e "$root/usr/bin/btrfs" ]; then drivers="$drivers btrfs"; fi
# An administrator's key for the SSH server in the image, where there is one.
if [ -d "$root/etc/dropbear/initramfs" ]; then
    ssh-keygen -q -t ed25519 -N "" -f "$output/ssh-key"
    cp "$output/ssh-key.pub" "$root/etc/dropbear/initramfs/authorized_keys"
fi
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
add_dracutmodules+=" $([ "$generator" = dracut-plain ] || echo systemd) crypt $modules "
install_items+=" /etc/systemd/system.conf.d/patience.conf "
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
    set --
    for package in common boot-client; do
        set -- "$@" "$(cd "$root" && echo ./run/packages/mandos-${package}_*.deb)"
    done
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
unmount_all
rm -rf "$root"
