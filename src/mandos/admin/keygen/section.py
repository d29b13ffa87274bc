# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's section of clients.conf, as the manual page mandos-clients.conf(5) describes it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from mandos.bus_names import CLIENT_NAME_LIMIT
from mandos.errors import UsageError

if TYPE_CHECKING:
    from mandos.admin.keygen.files import KeyOwner

_LINE = 64


def check_name(name: str) -> None:
    """Refuse names that cannot head a section.  Raises UsageError."""
    if not name or name != name.strip() or not name.isprintable() or set("[]").intersection(name):
        raise UsageError(f"{name!r} cannot be a client's name", "--name gives another one")
    if len(name.encode(errors="replace")) > CLIENT_NAME_LIMIT:
        raise UsageError(
            f"a client's name has at most {CLIENT_NAME_LIMIT} bytes, not {name[:40]}...",
            "--name gives another one",
        )
    if name == "DEFAULT":
        raise UsageError(
            "DEFAULT cannot be a client's name: that section has the settings of all clients",
            "--name gives another one",
        )


def section(
    name: str, client: KeyOwner, sealed: bytes, checker: str | None, host: str | None = None
) -> str:
    """The section, ready for clients.conf; ``checker`` has its percent signs escaped.

    ``host`` is the client's name unless it is given.
    """
    encoded = base64.b64encode(sealed).decode()
    secret = (f"    {encoded[start : start + _LINE]}" for start in range(0, len(encoded), _LINE))
    settings = {
        "host": escaped(host or name),
        "key_id": client.key_id,
        "fingerprint": client.fingerprint,
        "checker": checker,
    }
    lines = [f"{option} = {value}" for option, value in settings.items() if value is not None]
    return "\n".join((f"[{name}]", *lines, "secret =", *secret, ""))


def escaped(text: str) -> str:
    """A value whose percent signs mean themselves."""
    return text.replace("%", "%%")
