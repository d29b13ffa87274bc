#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Before anything is asked: what the kernel command line says about Mandos becomes options of the
# client, and the kernel modules that network hooks need are loaded.  dracut sources this file, so
# functions that set shell options or variables run in subshells.

mandos_option() {
    echo "--options-for=mandos-client:$1" >>/conf/conf.d/mandos/plugin-runner.conf
}

# Usage: mandos_field NUMBER VALUE.  Prints a field of a value of ip=; colons separate them, but for
# those of an IPv6 address in brackets.
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

# The interface in a value of ip=, see dracut.cmdline(7): it is the first field where the second one
# is a way to get an address, the sixth field of a longer value, and in no other.
mandos_interface() (
    second=$(mandos_field 2 "$1")
    case ${second%%,*} in
    on | any | dhcp | dhcp4 | dhcp6 | auto6 | either6 | link6 | link-local | ibft | none | off | \
        shared | disabled | single-dhcp | auto) mandos_field 1 "$1" ;;
    *) mandos_field 6 "$1" ;;
    esac
)

# Whether the client can take this as the name of an interface ("none" has another meaning there).
mandos_is_name() {
    case $1 in
    '' | none | all | *[!A-Za-z0-9._@+-]*) return 1 ;;
    esac
    [ "${#1}" -le 15 ]
}

# dracut configures the interfaces of all words ip=, so all of them are used.
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

# The network is set up as ip= says, though the root file system does not need it.
mandos_network() {
    mkdir -p /etc/cmdline.d
    echo "rd.neednet=1" >/etc/cmdline.d/mandos.conf
}

# dracut has put them into the image.
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
