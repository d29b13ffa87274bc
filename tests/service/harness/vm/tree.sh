# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # root: from the script that sources this file
# A guest's root directory $root, while packages are installed in it.  For scripts in mount and
# process namespaces made for them.

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export INITRD=No # dracut makes no image for each package that is installed, but one in the end
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

unpack_guest() {
    mkdir -m 755 "$root"
    tar --extract --zstd --file "$1" --directory "$root"
}

mount_all() {
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/sys" # dracut makes no image for this machine without one
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for node in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
    done
    ln -s /proc/self/fd "$root/dev/fd"
}

# What packages leave running, as GnuPG does its agents, ends with the namespace.
unmount_all() {
    for place in run proc sys tmp dev; do umount --recursive --lazy "$root/$place"; done
}

install_packages() { chroot "$root" apt-get install --yes --quiet=2 --no-install-recommends "$@"; }

# Arguments: the lines of crypttab(5) and of fstab(5).  A loaded machine takes its time to show
# devices and to start services.
configure() {
    printf '%s\n' "$1" >"$root/etc/crypttab"
    printf '%s\n' "$2" >"$root/etc/fstab"
    mkdir -p "$root/etc/systemd/system.conf.d"
    printf '[Manager]\nDefault%sSec=1h\nDefault%sSec=1h\n' DeviceTimeout TimeoutStart \
        >"$root/etc/systemd/system.conf.d/patience.conf"
}
