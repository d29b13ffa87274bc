# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a newcomer types first."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.host import Host

pytestmark = [pytest.mark.peer, pytest.mark.usefixtures("_possible")]

DEMO = str(Path(__file__).parents[2] / "tools" / "demo")
ARRIVED = "The client printed the password: correct horse battery staple"


def _is_readable_by_all(path: str) -> bool:
    whole = Path(path).resolve()
    return all(folder.stat().st_mode & 0o1 for folder in whole.parents)


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_secret_arrives(user: str) -> None:
    """For root, whose server becomes another user, and for somebody who has no rights."""
    if user != "root" and not all(map(_is_readable_by_all, (os.__file__, DEMO))):
        pytest.skip("only root can read this Python, or this checkout")
    become = () if user == "root" else ("setpriv", f"--reuid={user}", "--clear-groups", "--")
    with Host("newcomer") as machine:
        demo = machine.start(*become, sys.executable, DEMO)
        assert demo.wait() == 0, demo.report("exit status")
        assert ARRIVED in demo.stdout.decode()
        assert list(machine.path("/run/tmp").iterdir()) == []
