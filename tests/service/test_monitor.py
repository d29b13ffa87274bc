# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Either family's mandos-monitor on a real terminal, over either family's server."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_system_bus
from harness.bus_server import CONFIG, BusServer
from harness.families import ours, reference
from harness.host import Host
from harness.patience import Patience
from harness.process import PATIENCE
from harness.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.families import Family

pytestmark = pytest.mark.peer

CLIENTS = """
[DEFAULT]
timeout = P3W
interval = P1W
secret = aGVsbG8=
fingerprint = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA

[alpha]
key_id = 1111111111111111111111111111111111111111111111111111111111111111
host = alpha.example.org
checker = sleep 1000000

[beta]
key_id = 2222222222222222222222222222222222222222222222222222222222222222
host = beta.example.org
checker = exec true
"""
FAMILIES = {"reference": reference, "ours": ours}


class Desk:
    """A server, and a place at a terminal."""

    def __init__(self, host: Host, server: BusServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self.environment = {
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={host.path('/run/dbus/system_bus_socket')}",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "TERM": "screen-256color",
        }

    def monitor(self, family: Family, **size: int) -> Terminal:
        """Start a monitor."""
        return Terminal(self._folder, [family.monitor], self.environment, **size)

    def property(self, client: str, name: str) -> object:
        """What the server says of a client."""
        command = [ours().ctl, "--dump-json", client]
        done = subprocess.run(command, env=self.environment, capture_output=True, check=True)
        value: object = json.loads(done.stdout)[client][name]
        return value

    def becomes(self, client: str, name: str, value: object) -> None:
        """Wait until a client is so."""
        patience = Patience(PATIENCE)
        while (now := self.property(client, name)) != value:
            assert not patience.is_over(), f"{name} of {client} stays {now!r}"
            time.sleep(0.1)


@pytest.fixture(params=["reference", "ours"])
def desk(_possible: None, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A server of each family."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed (tools/test-setup installs it when root)")
    with ExitStack() as stack:
        host = stack.enter_context(Host("server"))
        start_system_bus(host)
        server = BusServer(host, FAMILIES[request.param](), CLIENTS)
        server.start()
        yield Desk(host, server, tmp_path)


@pytest.mark.parametrize("family", ["reference", "ours"])
def test_keys_do_what_they_say(desk: Desk, family: str) -> None:
    """The keys that both monitors have in common do the same to both servers."""
    with desk.monitor(FAMILIES[family]()) as monitor:
        monitor.wait_for("alpha")
        monitor.wait_for("beta")
        monitor.press("Home")
        for key, name, value in (
            ("-", "Enabled", False),
            ("+", "Enabled", True),
            ("s", "CheckerRunning", True),
            ("S", "CheckerRunning", False),
        ):
            monitor.press(key)
            desk.becomes("alpha", name, value)
        assert desk.property("alpha", "LastCheckedOK") == ""
        monitor.press("C")
        desk.becomes("alpha", "LastCheckerStatus", 0)
        assert desk.property("alpha", "LastCheckedOK") != ""
        monitor.press("q")
        monitor.wait_for_end()


def test_monitor_follows_the_server(desk: Desk) -> None:
    """Ours shows at once what others do, and finds the server again after a restart."""
    with desk.monitor(ours()) as monitor:
        monitor.wait_for("alpha +enabled")
        ctl = [ours().ctl, "--disable", "alpha"]
        subprocess.run(ctl, env=desk.environment, check=True)
        monitor.wait_for("alpha +disabled")
        desk.server.process.terminate()
        monitor.wait_for("(?i)no server|not running|is gone")
        desk.server.start()
        monitor.wait_for("alpha +disabled")
        monitor.wait_for("beta +enabled")
        monitor.press("?")
        monitor.wait_for("Keys of mandos-monitor")
        monitor.press("?")
        monitor.wait_for("^>alpha")
        monitor.press("/", "b", "e", "t", "Enter")
        monitor.wait_for("^>beta")
        monitor.press("q")
        monitor.wait_for_end()


def test_monitor_fits_any_terminal(desk: Desk) -> None:
    """From very small to very large, whatever a shell has exported of another one's size."""
    desk.environment |= {"COLUMNS": "80", "LINES": "24"}
    for columns, rows in ((40, 10), (200, 60)):
        with desk.monitor(ours(), columns=columns, rows=rows) as monitor:
            screen = monitor.wait_for("alpha")
            assert max(map(len, screen.splitlines())) <= columns
            monitor.press("q")
            monitor.wait_for_end()


@pytest.mark.parametrize("desk", ["ours"], indirect=True)  # the reference does not reload
def test_a_reload_is_seen(desk: Desk) -> None:
    """A client that is added to the files of our server appears, and vanishes with them."""
    path = desk.server.host.path(f"{CONFIG}/clients.conf")
    shutil.chown(path, group="_mandos")
    path.chmod(0o640)
    before = path.read_text(encoding="utf-8")
    section = f"[gamma]\nkey_id = {'3' * 64}\n"
    with desk.monitor(ours()) as monitor:
        monitor.wait_for("alpha")
        path.write_text(before + section, encoding="utf-8")
        subprocess.run([ours().ctl, "--reload"], env=desk.environment, check=True)
        monitor.wait_for("gamma +enabled")
        path.write_text(before, encoding="utf-8")
        subprocess.run([ours().ctl, "--reload"], env=desk.environment, check=True)
        monitor.wait_for("1 of 2")
        assert "gamma  " not in monitor.screen.split("Log:", maxsplit=1)[0]
