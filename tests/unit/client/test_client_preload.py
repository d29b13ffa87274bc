# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be there before root is given up, where only root can read Python."""

from __future__ import annotations

import subprocess
import sys

#: Prints what later imports would still load.
LEFT = """
import sys
from mandos.client import preload
preload.load()
loaded = set(sys.modules)
import resource
from openpgp import armor, composed
from mandos.openpgp import by_session_key, gnupg_ocb, libcrypto, session_keys
print(sorted(set(sys.modules) - loaded))
"""


def test_nothing_is_left_to_be_loaded() -> None:
    """Neither what opens usual messages, nor what opens GnuPG's own kind."""
    command = [sys.executable, "-I", "-c", LEFT]
    done = subprocess.run(command, env={}, capture_output=True, check=True)
    assert done.stdout == b"[]\n"
