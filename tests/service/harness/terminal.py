# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program on a real terminal: tmux(1) is the terminal, the test types and reads the screen."""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from typing import TYPE_CHECKING, Self

from harness.patience import Patience
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_numbers = itertools.count()
#: Seconds between two looks at the screen: nothing tells of a change.
_LOOK = 0.05


class Terminal:
    """A terminal with one program; both end with the ``with`` statement."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self._socket = str(folder / f"tmux-{next(_numbers)}")
        size = ("-x", str(columns), "-y", str(rows))
        settings = [word for item in environment.items() for word in ("-e", "=".join(item))]
        self._environment = dict(environment)
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, *settings, *command)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the terminal, and with it the program; harmless when it has ended."""
        subprocess.run(
            ["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False
        )

    @property
    def ended(self) -> bool:
        """Whether the program has ended, and the terminal with it."""
        done = subprocess.run(
            ["tmux", "-S", self._socket, "has-session"], capture_output=True, check=False
        )
        return done.returncode != 0

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", "--", *keys)

    @property
    def screen(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p")

    def wait_for(self, pattern: str) -> str:
        """Return the screen as soon as it matches."""
        patience = Patience(PATIENCE)
        while not re.search(pattern, screen := self.screen, re.MULTILINE):
            assert not patience.is_over(), f"never saw {pattern!r}:\n{screen}"
            time.sleep(_LOOK)
        return screen

    def wait_for_end(self) -> None:
        """Return when the program has ended."""
        patience = Patience(PATIENCE)
        while not self.ended:
            assert not patience.is_over(), f"still running:\n{self.screen}"
            time.sleep(_LOOK)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
        )
        assert done.returncode == 0, f"tmux {words}: {done.stderr}"
        return done.stdout
