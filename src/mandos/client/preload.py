# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing this imports whatever a run of the client may ever come to need.

Usually each module is loaded where it is used, most of them never.  Where only root can read them
(a virtual environment in root's home directory) they have to be there before root is given up.
"""

from __future__ import annotations

import resource  # noqa: F401
import shutil  # noqa: F401
import tempfile  # noqa: F401

from mandos import process
from mandos.client import lookup, network, tls  # noqa: F401
from mandos.discovery import finder  # noqa: F401
from mandos.openpgp import gnupg, opening  # noqa: F401

process.load()
opening.load()
