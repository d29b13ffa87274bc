# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state cannot be written: the server serves from what it can read, and says why.

A disabled client stays refused in this run and the next, whatever is in the way.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.crowd import ask, enlist
from harness.families import ours
from harness.fleet import PORT, Fleet
from harness.host import Host, why_impossible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

pytestmark = pytest.mark.peer

#: A small disk of its own under the state directory, and how it is filled to its last byte.
SMALL_DISK = """
cp -a {0} {0}.copy
mount -t tmpfs -o size=1500k,mode=700,uid=$(id -u _mandos),gid=$(id -g _mandos) state {0}
cp -a {0}.copy/. {0}/
rm -f {0}/mandos.db-shm
"""
FILL = "dd if=/dev/zero of={0}/fill bs=4k 2>/dev/null || true; sync {0}/fill"
#: What is in the way, what removes it, and what the log says.
OBSTACLES = {
    "read-only": (
        "mount --bind {0} {0}; mount -o remount,bind,ro {0}",
        "mount -o remount,bind,rw {0}",
        "is mounted read-only",
    ),
    "full": (SMALL_DISK + FILL, "rm {0}/fill", "the disk of .* is full"),
    "directory of root": ("chown root:root {0}", "chown _mandos: {0}", "belongs to root, not to"),
    "all of root": ("chown -R root:root {0}", "chown -R _mandos: {0}", "belongs to root, not to"),
    "of nobody": ("chown -R nobody {0}", "chown -R _mandos: {0}", "belongs to nobody, not to"),
    "database of root": (
        "chown root:root {0}/mandos.db",
        "chown _mandos: {0}/mandos.db",
        "mandos.db belongs to root, not to",
    ),
    "closed": ("chmod 500 {0}; chmod 400 {0}/*", "chmod -R u+rwX {0}", "has mode 0500"),
}


@pytest.fixture
def site() -> Iterator[Fleet]:
    """A server with a client that is well and one that is ill, which has not been started."""
    if (reason := why_impossible()) is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="mandos-") as folder, Host("server") as host:
        Path(folder).chmod(0o755)
        keys = Path(folder) / "keys"
        keys.mkdir()
        ill = "checker = exec test -e /run/alive\ntimeout = PT3S\nextended_timeout = PT3S\n"
        ill += "interval = PT1S\n"
        clients = f"{enlist(keys, 'well')}checker = true\n\n{enlist(keys, 'ill')}{ill}"
        yield Fleet(host, ours(), Path(folder), clients)


def _served(site: Fleet) -> set[str]:
    """Who gets a secret."""
    outcomes = ask(site.host, PORT, site.etc.parent / "keys", "well", "ill")
    return {name for name, outcome in outcomes.items() if outcome == "got"}


def _do(site: Fleet, commands: str) -> None:
    site.host.run("sh", "-ec", commands.format(site.state))


def _check(site: Fleet) -> list[str]:
    where = ("--configdir", str(site.etc), "--statedir", str(site.state), "--no-dbus")
    process = site.host.start(ours().server, "--check", *where)
    process.wait()
    return [line for line in process.lines if line.startswith("failed")]


@pytest.mark.parametrize("kind", OBSTACLES)
def test_state_that_can_be_read_only(site: Fleet, kind: str) -> None:
    """It says who is disabled; --check has the cause; it is written once that is possible."""
    spoil, mend, said = OBSTACLES[kind]
    site.start()
    site.wait_for("client ill is disabled: timeout")
    site.process.signal(signal.SIGKILL)  # what was written last is in the log of the database
    site.process.wait()
    _do(site, spoil)
    site.start()
    site.wait_for(f"cannot write the state in .*{said}")
    assert _served(site) == {"well"}
    failed = _check(site)
    assert failed
    assert not [line for line in failed if "damaged" in line], failed
    _do(site, mend)
    site.wait_for("the state is saved again")
    assert not [line for line in _check(site) if "space for" not in line]
    site.stop()
    site.start()
    assert _served(site) == {"well"}
    assert "Traceback" not in "\n".join(site.log)
    site.stop()


@pytest.mark.parametrize("room", [True, False], ids=["room again", "still full"])
def test_client_that_expires_while_the_disk_is_full(site: Fleet, *, room: bool) -> None:
    """There is room kept for the list of disabled clients: the next run knows it, too."""
    _do(site, SMALL_DISK)
    _do(site, "touch /run/alive; chmod 644 /run/alive")
    site.start()
    assert _served(site) == {"well", "ill"}
    _do(site, f"{FILL}; rm /run/alive")
    site.wait_for("client ill is disabled: timeout")
    assert _served(site) == {"well"}
    site.process.signal(signal.SIGKILL)
    site.process.wait()
    if room:
        _do(site, "rm {0}/fill")
    site.start()
    assert _served(site) == {"well"}
    assert "Traceback" not in "\n".join(site.log)


def test_state_that_cannot_be_read_at_all(site: Fleet) -> None:
    """Nobody knows who is disabled: nobody is served, and the error names owner and command."""
    site.start()
    site.wait_for("client ill is disabled: timeout")
    site.stop()
    _do(site, "chown -R root:root {0}; chmod 600 {0}/*; chmod 755 {0}; chown -R _mandos {0}/../etc")
    process = _as_user(site)
    assert process.wait() == os.EX_UNAVAILABLE
    assert "belongs to root, not to _mandos" in process.log or "cannot be read" in process.log
    assert "run: chown -R _mandos: " in process.log
    assert "Traceback" not in process.log


def test_database_that_cannot_be_read(site: Fleet) -> None:
    """The list of disabled clients is the second source; the database is left as it is."""
    site.start()
    site.wait_for("client ill is disabled: timeout")
    site.stop()
    database = site.state / "mandos.db"
    _do(site, "chown root:root {0}/mandos.db; chown -R _mandos {0}/../etc")
    before = database.read_bytes()
    process = _as_user(site)
    process.wait_for("serving 2 clients")
    assert _served(site) == {"well"}
    process.terminate()
    assert "Permission denied" in process.log
    assert database.read_bytes() == before
    _do(site, "chown _mandos: {0}/mandos.db")
    site.start()
    assert _served(site) == {"well"}


def _as_user(site: Fleet) -> Process:
    """The server, started by its own user: nothing can be read with root's rights."""
    user = ("setpriv", "--reuid=_mandos", "--regid=_mandos", "--clear-groups")
    return site.host.start(
        *(*user, ours().server, "--foreground", "--no-dbus", "--no-zeroconf"),
        *("--port", str(PORT), "--configdir", str(site.etc), "--statedir", str(site.state)),
    )
