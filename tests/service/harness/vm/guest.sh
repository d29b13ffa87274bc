#!/bin/sh
# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Usage: guest.sh SUITE OUTPUT INSTALLED DOWNLOADED... [--OPTION...]
# Makes OUTPUT, the root directory of a small Debian as a compressed archive.  INSTALLED are its
# packages, with commas; each DOWNLOADED names packages that apt shall find in its cache later,
# when there is no network, as one can install them together.  An OPTION is one of mmdebstrap.
set -eu
suite=$1 output=$2 installed=$3
shift 3

for word; do
    case $word in
    --*) set -- "$@" "$word" ;;
    *) set -- "$@" --customize-hook="chroot \"\$1\" apt-get install --yes --quiet=2 --download-only $word" ;;
    esac
    shift
done
# No initial RAM disk is made while packages are installed: it would take longer than all the rest.
# Nothing that only a reader wants is unpacked.
# shellcheck disable=SC2016 # mmdebstrap has a shell expand them
exec mmdebstrap --quiet --variant=minbase --mode=root --skip=cleanup/apt \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt=force-confold \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --essential-hook='mkdir --parents "$1/etc/initramfs-tools"' \
    --essential-hook='echo update_initramfs=no >"$1/etc/initramfs-tools/update-initramfs.conf"' \
    --include="$installed" "$@" "$suite" "$output"
