# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-check on a machine that lacks something that it needs itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mandos import program
from mandos.check.main import main

WITHOUT_GNUTLS = """
import ctypes, sys

class Missing(ctypes.CDLL):
    def __init__(self, name, *arguments, **options):
        if name and "gnutls" in str(name):
            raise OSError(f"{name}: cannot open shared object file")
        super().__init__(name, *arguments, **options)

ctypes.CDLL = Missing
from mandos import program
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


@pytest.mark.parametrize("other", ["--no-fetch", "--image-only"])
def test_boot_without_a_server(
    other: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The virtual machine needs one that gives the password, so nothing is left out silently."""
    monkeypatch.setattr(program, "raise_on_signals", lambda **_: None)  # ours are pytest's
    assert main(["--boot", other]) == 64
    assert "--boot needs a server" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as the check itself")
def test_terminal_without_the_letters() -> None:
    """A name that a server sends is escaped, and the processes of a check dump no core."""
    text = (
        "import resource, subprocess, sys\n"
        "from mandos.check import chain, main, private_root\n"
        "from mandos.check.findings import Finding, Link, Verdict\n"
        "def walk(_self):\n"
        "    shown = subprocess.run(['sh', '-c', 'ulimit -Hc'], capture_output=True, text=True)\n"
        "    yield Finding(Link.SERVER, Verdict.OK, f'\\u2603 {shown.stdout.strip()}')\n"
        "chain.Chain.walk = walk\n"
        "private_root.enter = private_root.leave = lambda: None\n"
        "sys.exit(main.main([]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert r"\u2603 0" in done.stdout
