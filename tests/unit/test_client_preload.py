# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be there before root is given up, where only root can read Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Prints what later imports would still load.
LEFT = """
import sys
from mandos.client import preload
preload.load()
loaded = set(sys.modules)
import resource
from openpgp import armor, composed
if sys.argv[1:]:
    import shutil, subprocess, tempfile
print(sorted(set(sys.modules) - loaded))
"""


@pytest.mark.parametrize("gnupg", [False, True], ids=["without_gpg", "with_gpg"])
def test_nothing_is_left_to_be_loaded(tmp_path: Path, *, gnupg: bool) -> None:
    """Neither what opens a message, nor what runs gpg for those of its own kind."""
    if gnupg:
        (tmp_path / "gpg").write_text("#!/bin/sh\n")
        (tmp_path / "gpg").chmod(0o755)
    command = [sys.executable, "-I", "-c", LEFT, *(["gpg"] if gnupg else [])]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, check=True)
    assert done.stdout == b"[]\n"
