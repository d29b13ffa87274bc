#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: disk.sh GUEST OUTPUT ROOT-UUID DATA-UUID PASSWORD TYPED-PASSWORD CRYPTTAB FSTAB KEYS
#     [PACKAGE...]
# Makes in the folder OUTPUT, from the archive GUEST, the encrypted disks root.img and data.img,
# which PASSWORD and TYPED-PASSWORD open, and the file nonce: what the decrypted root alone knows.
# CRYPTTAB and FSTAB are the texts of these files; KEYS is a folder with a client's keys, if it is
# not empty; each PACKAGE, a name or a file, is installed.  A root with packages
# is a workshop, which finds the passwords for other disks in /etc/workshop.
# Needs neither device-mapper nor loop devices: the file systems are encrypted as plain files.
set -eu
guest=$1 output=$2 root_uuid=$3 data_uuid=$4 password=$5 typed=$6 crypttab=$7 fstab=$8 keys=$9
shift 9
here=$(dirname "$0")
root=$output/tree
# shellcheck source=/dev/null
. "$here/tree.sh"
unpack_guest "$guest"
if [ $# -gt 0 ]; then
    mount_all
    for package; do
        shift
        if [ -f "$package" ]; then
            cp "$package" "$root/run/"
            package=/run/${package##*/}
        fi
        set -- "$@" "$package"
    done
    install_packages "$@"
    unmount_all
fi
configure "$crypttab" "$fstab"
tree=$root
rm -rf "$tree"/var/cache/apt/archives "$tree"/var/lib/apt/lists "$tree"/boot/vmlinuz-*
if [ -n "$keys" ]; then cp -a "$keys/." "$tree/etc/keys/mandos/"; fi

umask 077
printf %s "$password" >"$output/password"
printf %s "$typed" >"$output/typed"
od --address-radix=n --format=x8 --read-bytes=16 /dev/urandom | tr -d ' ' >"$output/nonce"
install -m 600 "$output/nonce" "$tree/etc/nonce"
install -m 755 "$here/report.sh" "$tree/usr/local/sbin/report"
install -m 644 "$here/report.service" "$tree/etc/systemd/system/report.service"
mkdir "$tree/etc/systemd/system/multi-user.target.wants" 2>/dev/null || true
ln -s ../report.service "$tree/etc/systemd/system/multi-user.target.wants/"
ln -s /dev/null "$tree/etc/systemd/system/serial-getty@.service"
echo guest >"$tree/etc/hostname"
if [ $# -gt 0 ]; then
    mkdir "$tree/etc/workshop"
    cp "$output/password" "$output/typed" "$tree/etc/workshop/"
    for script in make-disks make-image; do
        install -m 755 "$here/$script.sh" "$tree/usr/local/sbin/$script"
    done
fi

# Arguments: the image, its UUID, the size in MiB, and for mke2fs.  Encryption moves all by 32 MiB.
encrypt() {
    image=$1 uuid=$2 size=$3
    shift 3
    truncate --size="$((size + 32))M" "$image"
    mke2fs -q -t ext4 -O '^has_journal' -b 4096 "$@" "$image" "${size}M"
    cryptsetup reencrypt --encrypt --batch-mode --type luks2 --reduce-device-size 32M \
        --uuid "$uuid" --cipher aes-xts-plain64 --key-size 256 \
        --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file "$output/password" "$image"
    cryptsetup luksAddKey --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
        --key-file "$output/password" "$image" "$output/typed"
}
used=$(du --summarize --block-size=1M "$tree" | cut -f1)
encrypt "$output/root.img" "$root_uuid" "$((used + used / 8 + 40))" -d "$tree"
encrypt "$output/data.img" "$data_uuid" 8
rm -rf "$tree" "$output/password" "$output/typed"
