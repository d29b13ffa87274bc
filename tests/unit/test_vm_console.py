# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a machine's serial console is what a person would read there."""

from __future__ import annotations

import sys

from harness.vm.console import Console

SHOWN = r"\x1b[0mone\x1b]3008;start=1;type=boot\x1b\\ two\x1bP+q6E61\x1b\\ three\x1b]104\x07\r\nend"


def test_sequences_for_terminals_are_no_text() -> None:
    """Colours, and the control strings of systemd 262, also when they come in pieces."""
    text = "import sys\nfor c in '" + SHOWN + "': sys.stdout.write(c); sys.stdout.flush()"
    with Console([sys.executable, "-c", text], launcher=()) as console:
        console.expect("^one two three\nend$")
