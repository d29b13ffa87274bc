# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference's server as another release of Debian has it, with its Python and its GnuTLS.

Its root directory is an overlay on a host, whose /run, /dev and /proc it shares: so it logs, finds
the bus and reads its configuration where every server of that host does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.debian import _tree
from harness.families import reference

if TYPE_CHECKING:
    from harness.families import Family
    from harness.host import Host

_PROGRAM = "/run/reference-server"
#: Arguments: the tree.
_MOUNT = f"""
mkdir /run/release /run/release/upper /run/release/work /run/release/root
cd /run/release
mount -t overlay overlay root -o "lowerdir=$1,upperdir=/run/release/upper,workdir=/run/release/work"
mount --bind /run root/run
mount --bind /dev root/dev
mount --bind /proc root/proc
cat >{_PROGRAM} <<'SCRIPT'
#!/bin/sh
for state in /run/state-*; do chroot /run/release/root chown --recursive _mandos: "$state"; done
exec chroot /run/release/root /usr/sbin/mandos "$@"
SCRIPT
chmod 755 {_PROGRAM}
"""


def install_reference(host: Host, suite: str) -> Family:
    """Put the reference's server of a release on a host; the other programs are this machine's."""
    host.run("sh", "-euc", _MOUNT, "sh", str(_tree("reference-server", suite, ("mandos",))))
    return replace(reference(), server=_PROGRAM)
