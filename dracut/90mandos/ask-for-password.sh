#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Without systemd, the module crypt asks for passwords by this function instead of its own.
# plugin-runner asks the servers and the console at the same time.  If it fails, the replaced
# function asks.  dracut-crypt-lib.sh sources this file.

# Prints the command that reads the password from its standard input.
mandos_command() (
    while [ $# -gt 1 ]; do
        case $1 in
        --cmd | --ply-cmd)
            echo "$2"
            return
            ;;
        esac
        shift
    done
)

ask_for_password() (
    command=$(mandos_command "$@")
    # For the text of the prompt; cryptroot-ask sets these variables.
    [ -z "${device-}" ] || export CRYPTTAB_SOURCE="$device"
    [ -z "${luksname-}" ] || export CRYPTTAB_NAME="$luksname"
    tries=3
    [ "$(getarg mandos=)" != off ] && [ -n "$command" ] || tries=0
    while [ "$tries" -gt 0 ]; do
        /lib/mandos/plugin-runner <>/dev/console 2>/dev/console | $command --key-file=- && return
        tries=$((tries - 1))
        sleep 1
    done
    # shellcheck disable=SC2034 # dracut-crypt-lib.sh then does not source this file again
    mandos_at_console=yes
    # shellcheck source=/dev/null
    . /lib/dracut-crypt-lib.sh
    ask_for_password "$@"
)
