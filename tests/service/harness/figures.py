# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of figures, some of which have a bar: the most, or the least, that they may be."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Figures:
    """Prints lines as they are known; ``met`` says whether every figure so far is within its bar.

    A figure that was taken several times is shown as "minimum median maximum".
    """

    def __init__(self) -> None:
        self.met = True

    def title(self, text: str) -> None:
        """Begin a table."""
        print(f"\n{text}", flush=True)  # noqa: T201 - this is what it is for

    def show(self, what: str, figures: str, remark: str = "") -> None:
        """Print a line."""
        print(f"  {what:46}{figures:>26}  {remark}".rstrip(), flush=True)  # noqa: T201

    def hold(self, what: str, values: Sequence[float], bar: float) -> None:
        """Print a line whose median must not be above the bar."""
        met = median(values) <= bar
        self.met = self.met and met
        self.show(what, spread(values), f"bar {bar:g}: {'met' if met else 'MISSED'}")

    def reach(self, what: str, value: float, bar: float) -> None:
        """Print a line whose figure must not be below the bar."""
        met = value >= bar
        self.met = self.met and met
        self.show(what, f"{value:.2f}", f"bar {bar:g}: {'met' if met else 'MISSED'}")


def spread(values: Sequence[float]) -> str:
    """The values as people compare them: one by itself, several as minimum, median, maximum."""
    shown = (min(values), median(values), max(values)) if len(values) > 1 else values
    return " ".join(f"{value:.2f}".removesuffix(".00") for value in shown)
