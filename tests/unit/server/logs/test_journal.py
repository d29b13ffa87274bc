# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's protocol byte for byte, and its catalog; tests/service has the real journal."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.server.audit.records import Kind, Record
from mandos.server.logs import journal
from mandos.server.logs.message_ids import MESSAGE_IDS

CATALOG = Path(__file__).parents[4] / "systemd" / "mandos.catalog"

fields = st.lists(st.tuples(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), st.text()))


def _parsed(data: bytes) -> list[tuple[str, str]]:
    """What a reader of https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ makes of a datagram."""
    found = []
    while data:
        line, _end, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size :]
            assert data.startswith(b"\n")
            data = data[1:]
        found.append((name.decode(), value.decode()))
    return found


@given(fields)
def test_no_value_can_forge_a_field(given_fields: list[tuple[str, str]]) -> None:
    """What comes out at the other end are the fields that went in, whatever the values hold."""
    assert _parsed(journal.serialize(given_fields)) == given_fields


def test_value_with_a_line_end_is_in_binary_form() -> None:
    """Name, length as 64 bits little-endian, bytes; all other values are plain."""
    assert journal.serialize([("A", "b=c"), ("D", "e\nf")]) == (
        b"A=b=c\nD\n\x03\x00\x00\x00\x00\x00\x00\x00e\nf\n"
    )


def test_file_name_that_is_no_text_is_sent() -> None:
    """Undecodable bytes of a name do not stop the line."""
    assert _parsed(journal.serialize([("A", "\udcff")])) == [("A", r"\udcff")]


def test_each_kind_has_an_id_of_its_own() -> None:
    """128 random bits as systemd-id128(1) prints them."""
    assert set(MESSAGE_IDS) == set(Kind)
    assert len(set(MESSAGE_IDS.values())) == len(Kind)
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{19}", each) for each in MESSAGE_IDS.values())


def test_descriptor_of_the_journal_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL_STREAM counts only for the very file that it names: systemd.exec(5)."""
    reading, writing = os.pipe()
    status = os.fstat(writing)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert not journal.holds(writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
    assert not journal.holds(writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert journal.holds(writing)
    os.close(reading)
    os.close(writing)
    assert not journal.holds(writing)


def test_socket_of_others_is_not_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard error that is some socket, connected or not, is no journal."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    one, other = socket.socketpair()
    with one, other, socket.socket() as unconnected:
        assert not journal.holds(one.fileno())
        assert not journal.holds(unconnected.fileno())


def test_abandoned_socket_does_not_listen(tmp_path: Path) -> None:
    """A socket file is not enough: somebody has to be there."""
    path = tmp_path / "socket"
    assert not journal.listens(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(path))
        assert journal.listens(path)
    assert not journal.listens(path)


def _catalog(root: Path, action: str) -> str:
    done = subprocess.run(
        ["journalctl", f"--root={root}", action], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_catalog_explains_every_id(tmp_path: Path) -> None:
    """The journal's own compiler takes the catalog, and it has an entry for each kind."""
    if shutil.which("journalctl") is None:
        pytest.skip("systemd is not installed")
    there = tmp_path / "usr/lib/systemd/catalog"
    there.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, there)
    _catalog(tmp_path, "--update-catalog")
    listed = [line.split()[0] for line in _catalog(tmp_path, "--list-catalog").splitlines()]
    assert sorted(listed) == sorted(MESSAGE_IDS.values())


def test_catalog_names_fields_that_lines_have() -> None:
    """A field that no line carries would be shown as an empty hole."""
    named = set(re.findall(r"@(MANDOS_[A-Z_]+)@", CATALOG.read_text(encoding="utf-8")))
    record = Record(
        kind=Kind.REJECTED, at=datetime(2026, 11, 23, tzinfo=UTC),
        client="a", key_id="b", address="c", interface="d", detail="e", by="f",
    )  # fmt: skip
    assert named <= {name for name, _value in journal._record_fields(record)}
