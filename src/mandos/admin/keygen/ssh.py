# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checker that asks for this machine's SSH host key, when it has one.

Unlike a ping, it cannot be answered by another machine at the same address.
"""

from __future__ import annotations

import hashlib

from mandos import process
from mandos.errors import MachineError

_SCAN_TIME = 10.0  # seconds; everything happens on this machine

#: Key types as host keys name them, best first, and as ssh-keyscan's -t does.
_TYPES = {
    "ssh-ed25519": "ed25519",
    "ecdsa-sha2-nistp256": "ecdsa",
    "ecdsa-sha2-nistp384": "ecdsa",
    "ecdsa-sha2-nistp521": "ecdsa",
    "ssh-rsa": "rsa",
}


def checker_for_this_host() -> str | None:
    """The checker's value for clients.conf, or None when no SSH server answers here."""
    try:
        types = ",".join(dict.fromkeys(_TYPES.values()))
        scan = process.run(["ssh-keyscan", "-t", types, "localhost"], timeout=_SCAN_TIME)
    except MachineError:
        return None
    return checker(scan.stdout.decode("ascii", errors="replace"))


def checker(scan: str) -> str | None:
    """The checker for the best host key in ssh-keyscan's output.

    It is expanded twice, when the server reads it and when it runs: %%(host)s is the host's name
    at run time.  The digest is over the line without the host's name, which differs on the server.
    """
    lines = [line.split() for line in scan.splitlines() if not line.startswith("#")]
    found = {words[1]: words[2] for words in lines if len(words) == 3}
    for kind, scanned_as in _TYPES.items():
        if kind in found:
            digest = hashlib.sha256(f"{kind} {found[kind]}\n".encode()).hexdigest()
            return (
                f"ssh-keyscan -t {scanned_as} %%(host)s 2>/dev/null | grep -v '^#' "
                f"| cut -d' ' -f2,3 | sha256sum | grep -q '^{digest} '"
            )
    return None
