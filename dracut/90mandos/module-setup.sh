#!/bin/bash
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Puts the Mandos client into an image: dracut.modules(7).  dracut sources this file.
#
# If the image contains systemd, a path unit starts password-agent when a password is asked for.
# Otherwise plugin-runner answers the question of the module crypt.
# shellcheck disable=SC2154 # initdir, kernel, moddir, systemdsystemunitdir: from dracut

_mandos_builder() {
    local place
    for place in /usr/lib/*/mandos /usr/lib/mandos /usr/lib64/mandos \
        /usr/local/lib/*/mandos /usr/local/lib/mandos /usr/local/lib64/mandos; do
        if [[ -x $place/mandos-image ]]; then
            echo "$place/mandos-image"
            return 0
        fi
    done
    return 1
}

check() {
    # The client is of use only on a machine that has keys.
    _mandos_builder >/dev/null || return 1
    if [[ ! -e $dracutsysrootdir/etc/keys/mandos/tls-privkey.pem ]]; then
        dwarning "mandos: the image has no Mandos client, since there are no keys in" \
            "/etc/keys/mandos; mandos-keygen makes them"
        return 1
    fi
}

depends() {
    echo crypt
}

# Adds the drivers of a device, and of the buses and hubs that it is attached to.
_mandos_drivers() {
    local device module
    device=$(readlink -f "$1")
    while [[ $device == /sys/* ]]; do
        module=$device/driver/module
        [[ -e $module ]] && hostonly='' instmods "$(basename "$(readlink -f "$module")")"
        device=${device%/*}
    done
}

installkernel() {
    local device
    hostonly='' instmods ipv6
    for device in /sys/class/net/*/device /sys/class/net/*/phydev; do
        [[ -e $device ]] && _mandos_drivers "$device"
    done
    return 0
}

# Adds the modules that network hooks need; command-line.sh loads them.  Each line is a module,
# perhaps with options.
_mandos_hooks_modules() {
    local module options
    while read -r module options; do
        [[ $module ]] || continue
        if hostonly='' instmods -c -s "$module"; then
            echo "$module $options" >>"$initdir/lib/mandos/kernel-modules"
        else
            dwarning "mandos: a network hook needs the module $module, not in Linux $kernel"
        fi
    done
}

install() {
    local generator=dracut modules
    if dracut_module_included systemd; then generator=dracut-systemd; fi
    if ! modules=$("$(_mandos_builder)" --generator=$generator --into="$initdir"); then
        dwarning "mandos: the image has no Mandos client; it will ask for passwords at the console"
        return 0
    fi
    _mandos_hooks_modules <<<"$modules"
    inst_hook cmdline 20 "$moddir/command-line.sh"
    if [[ $generator == dracut-systemd ]]; then
        inst_script "$moddir/start-agent.sh" /lib/mandos/start-agent
        inst_simple "$moddir/ask-password-mandos.path" \
            "$systemdsystemunitdir/ask-password-mandos.path"
        inst_simple "$moddir/ask-password-mandos.service" \
            "$systemdsystemunitdir/ask-password-mandos.service"
        mkdir -p "$initdir$systemdsystemunitdir/sysinit.target.wants"
        ln -sf ../ask-password-mandos.path "$initdir$systemdsystemunitdir/sysinit.target.wants/"
    else
        mkdir -p "$initdir/lib/cryptsetup" # for the FIFO of the plugin askpass-fifo
        inst_simple "$moddir/ask-for-password.sh" /lib/mandos/ask-for-password.sh
        # shellcheck disable=SC2016 # this is for the machine that boots
        echo '[ -n "$mandos_at_console" ] || . /lib/mandos/ask-for-password.sh' \
            >>"$initdir/lib/dracut-crypt-lib.sh"
    fi
}
