#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs before any password is asked for.  It turns the words of the kernel command line that concern
# Mandos into options of the client, and loads the kernel modules that network hooks need.  dracut
# sources this file, so functions that set shell options or variables run in subshells.

mandos_option() {
    echo "--options-for=mandos-client:$1" >>/conf/conf.d/mandos/plugin-runner.conf
}

# Usage: mandos_field NUMBER VALUE.  Prints a field of a value of ip=; colons separate the
# fields, except inside the brackets of an IPv6 address.
mandos_field() (
    number=$1 rest=$2
    while :; do
        case $rest in
        '['*']'*) after=${rest#*]} ;;
        *) after=$rest ;;
        esac
        part=${rest%"$after"}${after%%:*}
        [ "$number" -gt 1 ] || break
        number=$((number - 1))
        case $after in
        *:*) rest=${after#*:} ;;
        *) rest= ;;
        esac
    done
    printf '%s\n' "$part"
)

# The interface in a value of ip=, see dracut.cmdline(7): the first field if the second one is a
# method to get an address, otherwise the sixth field.
mandos_interface() (
    second=$(mandos_field 2 "$1")
    case ${second%%,*} in
    on | any | dhcp | dhcp4 | dhcp6 | auto6 | either6 | link6 | link-local | ibft | none | off | \
        shared | disabled | single-dhcp | auto) mandos_field 1 "$1" ;;
    *) mandos_field 6 "$1" ;;
    esac
)

# Whether this is a valid interface name for the client ("none" has another meaning there).
mandos_is_name() {
    case $1 in
    '' | none | all | *[!A-Za-z0-9._@+-]*) return 1 ;;
    esac
    [ "${#1}" -le 15 ]
}

# dracut configures the interfaces of all words ip=, so the client uses all of them.
mandos_interfaces() (
    set -f
    unset IFS
    for value in $(getargs ip=); do
        name=$(mandos_interface "$value")
        if mandos_is_name "$name"; then
            mandos_option "--interface=$name"
        fi
    done
)

# Has dracut set up the network as ip= says, though the root file system does not need it.
mandos_network() {
    mkdir -p /etc/cmdline.d
    echo "rd.neednet=1" >/etc/cmdline.d/mandos.conf
}

# Loads the kernel modules that module-setup.sh has put into the image.
mandos_modules() (
    [ -e /lib/mandos/kernel-modules ] || return 0
    set -f
    unset IFS
    while read -r module options; do
        # shellcheck disable=SC2086 # several options
        modprobe -q "$module" $options || warn "mandos: no kernel module $module"
    done </lib/mandos/kernel-modules
)

mandos_value=$(getarg mandos=)
case $mandos_value in
connect) mandos_network ;;
connect:*)
    mandos_network
    mandos_option "--connect=${mandos_value#connect:}"
    ;;
esac
mandos_interfaces
modprobe -q ipv6 || :
[ "$mandos_value" = off ] || mandos_modules
unset mandos_value
