# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports every module that a run of the client may ever need.

Usually each module is loaded where it is used, most of them never.  Where only root can read them
(a virtual environment in root's home directory) they have to be there before root is given up.
"""

from __future__ import annotations

from mandos import process
from mandos.client import addresses  # noqa: F401
from mandos.client.root import interface_setup  # noqa: F401
from mandos.client.unprivileged import identity, resolver  # noqa: F401
from mandos.discovery import finder  # noqa: F401
from mandos.openpgp import by_session_key, opening  # noqa: F401


def load() -> None:
    """Import the modules that the import of this one does not load."""
    process.load()
    opening.load()
