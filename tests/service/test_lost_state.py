# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database is damaged, gone or of a newer version: a disabled client stays refused.

The list of disabled clients is the second witness.  When it is lost as well nobody is trusted until
an administrator says so.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_system_bus
from harness.crowd import ask, enlist
from harness.disk import DATABASE, WITNESS
from harness.families import ours
from harness.fleet import PORT, Fleet, kill_after
from harness.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.peer

KILLS = 8
#: Seconds, within which a server that finds its state lost has begun to serve.
START = 0.5


def _no_database(path: Path) -> None:
    path.write_bytes(b"This was a database once.\n" * 400)


def _damaged_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = random.Random(1).randbytes(len(data) - 4096)  # noqa: S311 - any bytes do
    path.write_bytes(data)


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8192])


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def _wrong_value(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE life SET created = 'once upon a time'")


#: What befalls the database, and what the log says of it.
ACCIDENTS: dict[Callable[[Path], None], str] = {
    _no_database: "is damaged",
    _damaged_inside: "is damaged",
    _cut_off: "is damaged",
    _wrong_value: "has a damaged record",
    _newer: "was written by a newer version of this program",
}


@pytest.fixture
def site(_possible: None) -> Iterator[Fleet]:
    """A server that has ended, and that knew one client as well and another as disabled."""
    with tempfile.TemporaryDirectory(prefix="mandos-") as folder, Host("server") as host:
        Path(folder).chmod(0o755)
        keys = Path(folder) / "keys"
        keys.mkdir()
        start_system_bus(host)
        ill = "checker = exec false\ntimeout = PT1S\n"
        clients = f"{enlist(keys, 'well')}checker = exec true\n\n{enlist(keys, 'ill')}{ill}"
        site = Fleet(host, ours(), Path(folder), clients, options=())
        site.start()
        site.wait_for("client ill is disabled: timeout")
        assert _served(site) == {"well"}
        site.stop()
        yield site


def _served(site: Fleet) -> set[str]:
    """Who gets a secret."""
    outcomes = ask(site.host, PORT, site.etc.parent / "keys", "well", "ill")
    return {name for name, outcome in outcomes.items() if outcome == "got"}


def _aside(site: Fleet) -> set[Path]:
    """The files that the log says the database has become."""
    names = re.findall(r"the saved state is lost: .*; it is now (\S+)", "\n".join(site.log))
    return {Path(name) for name in names}


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.__name__.strip("_"))
def test_unusable_database_is_set_aside(site: Fleet, accident: Callable[[Path], None]) -> None:
    """It keeps its bytes under another name, which the log tells; the list decides."""
    database = site.state / DATABASE
    accident(database)
    before = database.read_bytes()
    site.start()
    assert f"the saved state is lost: {database} {ACCIDENTS[accident]}" in "\n".join(site.log)
    (aside,) = _aside(site)
    assert aside.read_bytes() == before
    assert _served(site) == {"well"}
    site.stop()
    site.start()
    assert "lost" not in "\n".join(site.log)
    assert _served(site) == {"well"}


@pytest.mark.parametrize("emptied", [False, True], ids=["missing", "empty"])
def test_missing_database(site: Fleet, *, emptied: bool) -> None:
    """The list still knows who is disabled."""
    (site.state / DATABASE).unlink()
    if emptied:
        (site.state / DATABASE).touch()
        shutil.chown(site.state / DATABASE, "_mandos", "_mandos")
    site.start()
    site.wait_for("client ill is disabled: state lost")
    assert _served(site) == {"well"}


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "missing"])
@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.__name__.strip("_"))
def test_nobody_is_trusted_without_the_list(
    site: Fleet, accident: Callable[[Path], None], *, gone: bool
) -> None:
    """Both are lost: everybody is disabled, until an administrator enables somebody."""
    _lose_both(site, accident, gone=gone)
    site.start()
    (aside,) = _aside(site)
    assert aside.exists()
    for name in ("well", "ill"):
        site.wait_for(f"client {name} is disabled: state lost")
    assert _served(site) == set()
    _enable(site, "well")
    assert _served(site) == {"well"}
    site.stop()
    site.start()
    assert _served(site) == {"well"}


def _lose_both(site: Fleet, accident: Callable[[Path], None], *, gone: bool) -> None:
    accident(site.state / DATABASE)
    if gone:
        (site.state / WITNESS).unlink()
    else:
        (site.state / WITNESS).write_bytes((site.state / WITNESS).read_bytes().replace(b"ill", b""))


def _enable(site: Fleet, name: str) -> None:
    site.wait_for("on the system bus")
    interface = "se.recompile.Mandos.Client"
    site.host.run("busctl", "call", "se.recompile.Mandos", f"/clients/{name}", interface, "Enable")


@pytest.mark.parametrize("listed", [True, False], ids=["with the list", "without"])
def test_killed_while_it_finds_out(site: Fleet, *, listed: bool) -> None:
    """Killed again and again while it sets the database aside, it never trusts more than before."""
    if listed:
        _no_database(site.state / DATABASE)
    else:
        _lose_both(site, _no_database, gone=True)
    chance = random.Random(2)  # noqa: S311 - not a secret
    for _kill in range(KILLS):
        kill_after(chance.uniform(0, START), site.launch()).join()
        site.process.wait()
    site.start()
    assert _served(site) == ({"well"} if listed else set())
