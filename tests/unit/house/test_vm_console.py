# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a machine's serial console is what a person would read there."""

from __future__ import annotations

import sys

import pytest

from harness.vm.console import Console

SHOWN = r"\x1b[0mone\x1b]3008;start=1;type=boot\x1b\\ two\x1bP+q6E61\x1b\\ three\x1b]104\x07\r\nend"


def test_sequences_for_terminals_are_no_text() -> None:
    """Colours, and the control strings of systemd 262, also when they come in pieces."""
    text = "import sys\nfor c in '" + SHOWN + "': sys.stdout.write(c); sys.stdout.flush()"
    with Console([sys.executable, "-c", text], launcher=()) as console:
        console.expect("^one two three\nend$")


SLOW = """
import time
for number in range(10):
    print(number, flush=True)
    time.sleep(0.2)
input()
"""


def test_a_slow_machine_has_the_time_that_it_needs() -> None:
    """While it shows something it is waited for; one that is silent, or has a limit, is not."""
    with Console([sys.executable, "-c", SLOW], launcher=()) as console:
        console.expect("^9$", silence=1.5)
        with pytest.raises(AssertionError, match=r"nothing on the console matched 'never'(?s:.*)9"):
            console.expect("never", silence=0.1)
    with (
        Console([sys.executable, "-c", SLOW], launcher=()) as console,
        pytest.raises(AssertionError, match="nothing on the console matched '9'"),
    ):
        console.expect("9", seconds=0.1)
