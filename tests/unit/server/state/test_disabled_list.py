# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of disabled clients is whole or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mandos.server.state import disabled_list
from mandos.server.state.disabled_list import WitnessError

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1)
EACH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@EACH
@given(names=st.frozensets(NAMES))
def test_what_was_written_is_read(tmp_path: Path, names: frozenset[str]) -> None:
    """Any names that sections can have come back."""
    disabled_list.write(tmp_path / "list", names)
    assert disabled_list.read(tmp_path / "list") == names


@EACH
@given(place=st.integers(0, 200), byte=st.integers(0, 255))
def test_any_damage_is_noticed(tmp_path: Path, place: int, byte: int) -> None:
    """No byte can change, and no end can be missing, without the list being refused."""
    path = tmp_path / "list"
    disabled_list.write(path, {"alpha", "beta"})
    good = path.read_bytes()
    place %= len(good)
    for bad in (good[:place], good[:place] + bytes((byte,)) + good[place + 1 :]):
        path.write_bytes(bad)
        if bad == good:
            assert disabled_list.read(path) == {"alpha", "beta"}
            continue
        with pytest.raises(WitnessError):
            disabled_list.read(path)


def test_missing_list_is_missing(tmp_path: Path) -> None:
    """No list is not an empty list."""
    with pytest.raises(FileNotFoundError):
        disabled_list.read(tmp_path / "list")


def test_list_that_knows_nothing_is_refused(tmp_path: Path) -> None:
    """It says that there was a list, and is none."""
    disabled_list.write_unknown(tmp_path / "list")
    with pytest.raises(WitnessError):
        disabled_list.read(tmp_path / "list")


def test_reserve_needs_no_more_room(tmp_path: Path) -> None:
    """It is written in place, and never grows; the names come back until it is emptied."""
    path = tmp_path / "reserve"
    assert disabled_list.read_reserved(path) == frozenset()
    disabled_list.reserve(path)
    assert disabled_list.read_reserved(path) == frozenset()
    before = path.stat()
    for names in ({"alpha", "beta"}, {"alpha"}):
        disabled_list.write_reserved(path, names)
        disabled_list.reserve(path)
        assert disabled_list.read_reserved(path) == names
    after = path.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert after.st_blocks * 512 >= after.st_size
    disabled_list.clear_reserved(path)
    assert disabled_list.read_reserved(path) == frozenset()


def test_reserve_that_is_too_small_is_an_error(tmp_path: Path) -> None:
    """Half a list would say that somebody is not disabled."""
    path = tmp_path / "reserve"
    disabled_list.reserve(path)
    with pytest.raises(OSError, match="No space left"):
        disabled_list.write_reserved(path, {"x" * 100 + str(number) for number in range(5000)})
    assert disabled_list.read_reserved(path) == frozenset()


def test_reserve_with_half_a_list_is_refused(tmp_path: Path) -> None:
    """A crash in the middle of a write is noticed."""
    path = tmp_path / "reserve"
    disabled_list.reserve(path)
    disabled_list.write_reserved(path, {"alpha", "beta"})
    path.write_bytes(path.read_bytes()[:60].ljust(4096, b"\0"))
    with pytest.raises(WitnessError):
        disabled_list.read_reserved(path)
