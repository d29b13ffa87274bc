# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hints for misspelled names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.spelling import nearest

NAMES = ("host", "interval", "port", "timeout", "zeroconf")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("prot", "port"),  # two letters swapped
        ("tiemout", "timeout"),
        ("timout", "timeout"),  # one missing
        ("zerroconf", "zeroconf"),  # one too many
        ("intervel", "interval"),  # one wrong
        ("hoots", None),  # two of five are wrong
        ("", None),
        ("colour", None),
        (1000 * "port", None),
    ],
)
def test_nearest_name(word: str, name: str | None) -> None:
    """A third of the letters may be wrong, missing, too many or swapped."""
    assert nearest(word, NAMES) == name


def test_no_names_have_no_nearest() -> None:
    """A program without options answers a misspelled one, too."""
    assert nearest("port", ()) is None


@given(st.text(min_size=6, max_size=12), st.data())
def test_one_mistake_is_always_found(name: str, data: st.DataObject) -> None:
    """Whichever letter is wrong, missing, too many or swapped: a name of six letters is found."""
    at = data.draw(st.integers(0, len(name) - 2))
    letter = data.draw(st.characters())
    for word in (
        name[:at] + letter + name[at + 1 :],
        name[:at] + name[at + 1 :],
        name[:at] + letter + name[at:],
        name[:at] + name[at + 1] + name[at] + name[at + 2 :],
    ):
        assert nearest(word, [name]) == name
