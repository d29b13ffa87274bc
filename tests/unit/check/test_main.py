# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-check on a machine that lacks something that it needs itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WITHOUT_GNUTLS = """
import ctypes, sys

class Missing(ctypes.CDLL):
    def __init__(self, name, *arguments, **options):
        if name and "gnutls" in str(name):
            raise OSError(f"{name}: cannot open shared object file")
        super().__init__(name, *arguments, **options)

ctypes.CDLL = Missing
from mandos.check.main import main
sys.exit(main(["--image-only"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as the check itself")
def test_library_that_is_missing() -> None:
    """It is named, without a traceback, and is no verdict about the next boot."""
    command = [sys.executable, "-c", WITHOUT_GNUTLS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (69, ""), done.stderr
    assert done.stderr.startswith("mandos-check: the GnuTLS library cannot be loaded")
    assert "Traceback" not in done.stderr
