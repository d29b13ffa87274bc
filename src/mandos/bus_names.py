# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the D-Bus interface: se.recompile.Mandos on the system bus."""

from __future__ import annotations

import re

CLIENT_PATHS = "/clients/"

_DASH = re.compile(r"[.-]")
_UNSAFE = re.compile(r"[^A-Za-z0-9_]")


def client_path(name: str) -> str:
    """The object path of the client of this name.

    ``.`` and ``-`` become ``_``, as in the reference; of any other character that a path cannot
    hold each byte becomes ``_`` and two hexadecimal digits.  Two names may share a path.
    """
    return CLIENT_PATHS + _UNSAFE.sub(_escaped, _DASH.sub("_", name))


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"_{byte:02x}" for byte in match[0].encode())
