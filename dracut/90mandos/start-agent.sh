#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Starts password-agent with the client's options from plugin-runner.conf.

set -f
set -- /lib/mandos/plugins.d/mandos-client
while read -r line; do
    for word in ${line%%#*}; do
        case $word in
        --options-for=mandos-client:*)
            options=${word#--options-for=mandos-client:}
            while [ -n "$options" ]; do
                set -- "$@" "${options%%,*}"
                case $options in
                *,*) options=${options#*,} ;;
                *) options= ;;
                esac
            done
            ;;
        esac
    done
done 2>/dev/null </conf/conf.d/mandos/plugin-runner.conf
exec /lib/mandos/password-agent -- "$@"
