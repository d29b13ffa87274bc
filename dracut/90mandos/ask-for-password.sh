#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Without systemd: the module crypt asks by this function instead of its own.  plugin-runner asks
# the servers and the console at once; if it fails, the function that this one replaced asks.
# The program dracut-crypt-lib.sh sources this file.

ask_for_password() {
    local command='' tries=3 pause=1
    local option
    for option; do
        case $command in
        next)
            command=$option
            break
            ;;
        esac
        case $option in
        --cmd | --ply-cmd) command=next ;;
        esac
    done
    if getargs mandos= | grep -qx off || [ -z "$command" ] || [ "$command" = next ]; then
        tries=0
    fi
    while [ "$tries" -gt 0 ]; do
        if /lib/mandos/plugin-runner </dev/console 2>/dev/console |
            { $command --key-file=-; } >/dev/console 2>&1; then
            return 0
        fi
        tries=$((tries - 1))
        sleep "$pause"
    done
    (
        mandos_at_console=yes
        . /lib/dracut-crypt-lib.sh
        ask_for_password "$@"
    )
}
