# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers share a database, and their files differ: the log and ``mandos --check`` say so."""

from __future__ import annotations

import base64
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from programs import Program

from mandos.client_settings import ClientSettings
from mandos.server.life.client import Client
from mandos.server.life.registry import Registry
from mandos.server.life.sections import differing, doubled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.postgresql import Database

START = datetime(2026, 11, 24, tzinfo=UTC)
ALPHA = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"sealed", host="a")
QUIET = ("--no-dbus", "--no-zeroconf", "--no-ipv6")


def section(settings: ClientSettings) -> str:
    """The client as in clients.conf."""
    secret = base64.b64encode(settings.secret).decode()
    timeout = int(settings.timeout.total_seconds())
    return (
        f"[{settings.name}]\nkey_id = {settings.key_id}\nsecret = {secret}\n"
        f"host = {settings.host}\nchecker = true\ntimeout = PT{timeout}S\n"
    )


def files(folder: Path, *clients: ClientSettings) -> Path:
    """A folder with these clients."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    path = folder / "clients.conf"
    path.write_text("".join(map(section, clients)), encoding="utf-8")
    path.chmod(0o644)  # a reload reads it as the server's user
    return folder


def test_the_lines_name_settings_and_no_values() -> None:
    """A secret is one of them."""
    here = replace(ALPHA, secret=b"unspeakable", host="elsewhere")
    (line,) = differing([(here, ALPHA), (ALPHA, ALPHA)])
    assert line.startswith("the section of client alpha here differs")
    assert "(secret, host)" in line
    assert "unspeakable" not in line
    assert "elsewhere" not in line


def test_clients_with_one_key_are_named() -> None:
    """A client without a key shares it with no other."""
    none = replace(ALPHA, key_id="")
    double = replace(ALPHA, name="beta")
    clients = [ALPHA, double, replace(none, name="c"), replace(none, name="d")]
    (line,) = doubled(clients)
    assert "the same key: alpha, beta:" in line
    assert not list(doubled(clients[1:]))


def test_a_new_section_of_another_servers_client_changes_nothing() -> None:
    """Wherever it comes first: so a reload has the same result as a restart."""
    client = Client(ALPHA, START, added=True)
    registry = Registry([client])
    registry.shared = True
    other = replace(ALPHA, host="b", enabled=False)
    registry.configure([other], START)
    assert client.settings == ALPHA
    assert client.life.enabled
    assert not client.added
    changed = replace(other, timeout=timedelta(minutes=1))
    registry.configure([changed], START)
    assert client.settings == replace(ALPHA, timeout=timedelta(minutes=1))


def test_a_removed_client_that_comes_back_still_has_its_section_here() -> None:
    """Another server's files bring it back; it does not count as one that is in no file here."""
    registry = Registry([Client(ALPHA, START)])
    registry.shared = True
    registry.remove("alpha", START)
    new = replace(ALPHA, host="new")
    client = registry.follow("alpha", new, Client(ALPHA, START).life, START)
    assert (client.added, client.configured, client.settings) == (False, ALPHA, new)
    assert registry.removed == {}


def test_without_other_servers_a_new_section_wins() -> None:
    """An administrator has added the client, and gives it a section later."""
    client = Client(ALPHA, START, added=True)
    registry = Registry([client])
    registry.configure([replace(ALPHA, host="b")], START)
    assert client.settings.host == "b"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which servers find what they need when they have given up root."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


def serve(stack: ExitStack, name: str, configuration: Path, state: str) -> Program:
    """A server that shares the database ``state``."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    options = (*QUIET, "--socket", str(listening.fileno()), "--state", state)
    descriptors = (listening.fileno(),)
    program = Program(configuration, *options, "--server-name", name, descriptors=descriptors)
    return stack.enter_context(program)


@pytest.mark.peer
def test_servers_report_their_differences(folder: Path, postgresql_database: Database) -> None:
    """At start and after each reload; a changed section is applied, and differs no more."""
    other = replace(ALPHA, key_id="cd" * 32, secret=b"another", host="b")
    double = ClientSettings(name="double", key_id=ALPHA.key_id, secret=b"sealed", host="c")
    a, b = files(folder / "a", ALPHA), files(folder / "b", other, double)
    state = postgresql_database.uri()
    host = "SELECT settings::json ->> 'host' FROM mandos.client WHERE name = 'alpha'"
    with ExitStack() as stack:
        one = serve(stack, "one", a, state)
        one.wait_for("serving 1 clients")
        two = serve(stack, "two", b, state)
        line = two.wait_for("section of client alpha here differs")
        assert "(secret, key_id, host)" in line
        assert "alpha, double" in two.wait_for("the same key")
        two.wait_for("serving 2 clients")
        two.process.send_signal(signal.SIGHUP)
        assert "(secret, key_id, host)" in two.wait_for("section of client alpha here differs")
        assert postgresql_database.sql(host) == [("a",)]
        files(b, replace(other, host="new"), double)
        two.process.send_signal(signal.SIGHUP)
        assert "(secret, key_id)" in two.wait_for("section of client alpha here differs")
        assert postgresql_database.sql(host) == [("new",)]
        one.process.send_signal(signal.SIGHUP)
        assert "(host)" in one.wait_for("section of client alpha here differs")
        assert (one.end(), two.end()) == (0, 0)


@pytest.mark.peer
def test_a_running_server_hears_that_the_database_was_upgraded(
    folder: Path, postgresql_database: Database
) -> None:
    """It says so, changes nothing there, and starts no more; it ends as ever."""
    state, least = postgresql_database.uri(), "UPDATE mandos.property SET value = '99'"
    with ExitStack() as stack:
        one = serve(stack, "one", files(folder / "a", ALPHA), state)
        one.wait_for("the clients are checked by")
        postgresql_database.sql(f"{least} WHERE name = 'least'")
        line = one.wait_for("upgraded for a newer version")
        assert "the database is unreachable" in line
        before = postgresql_database.sql("SELECT * FROM mandos.client, mandos.life, mandos.server")
        files(folder / "a", replace(ALPHA, host="changed"))
        one.process.send_signal(signal.SIGHUP)
        one.wait_for("in force, but not saved")
        assert one.end() == 0
        new = serve(stack, "two", files(folder / "b", ALPHA), state)
        new.wait_for("upgraded for a newer version")
        assert new.process.wait(60) == 78
    after = postgresql_database.sql("SELECT * FROM mandos.client, mandos.life, mandos.server")
    assert after == before
