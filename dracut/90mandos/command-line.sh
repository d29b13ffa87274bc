#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Before anything is asked: what the kernel command line says about Mandos becomes options of the
# client, and the kernel modules that network hooks need are loaded.  dracut sources this file.

mandos_option() {
    echo "--options-for=mandos-client:$1" >>/conf/conf.d/mandos/plugin-runner.conf
}

# The sixth field of ip= is the network interface.
mandos_device() (
    IFS=:
    # shellcheck disable=SC2086 # it is to be split at the colons
    set -- $1
    echo "${6-}"
)

# The network is set up as ip= says, though the root file system does not need it.
mandos_network() {
    mkdir -p /etc/cmdline.d
    echo "rd.neednet=1" >/etc/cmdline.d/mandos.conf
}

# dracut has put them into the image.
mandos_modules() {
    [ -e /lib/mandos/kernel-modules ] || return 0
    while read -r mandos_module mandos_options; do
        # shellcheck disable=SC2086 # several options
        modprobe -q "$mandos_module" $mandos_options || warn "mandos: no kernel module $mandos_module"
    done </lib/mandos/kernel-modules
}

mandos_value=$(getarg mandos=)
case $mandos_value in
connect) mandos_network ;;
connect:*)
    mandos_network
    mandos_option "--connect=${mandos_value#connect:}"
    ;;
esac
for mandos_ip in $(getargs ip=); do
    mandos_name=$(mandos_device "$mandos_ip")
    [ -z "$mandos_name" ] || mandos_option "--interface=$mandos_name"
done
modprobe -q ipv6 || :
[ "$mandos_value" = off ] || mandos_modules
