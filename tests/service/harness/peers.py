# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers and clients of either family, started on hosts in the same words."""

from __future__ import annotations

import itertools
import shutil
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.families import Family
    from harness.host import Host
    from harness.keys import Credentials
    from harness.process import Process
    from harness.vm.boot import Site

#: Every server has a host of its own, so they can all have the same port.
PORT = 4711
#: Log lines by which each family says that it serves, and that it has been announced.
LISTENING = {"reference": "Now listening on address", "ours": r"serving \d+ clients on port"}
ANNOUNCED = {"reference": "Zeroconf service established", "ours": "announced as"}
#: Log lines by which each family says that it has refused a client, by the cause.
REFUSED = {
    ("reference", "unknown"): "Client not found for key ID",
    ("ours", "unknown"): "refused .* no client has the key ID",
    ("reference", "disabled"): "Client alpha is disabled",
    ("ours", "disabled"): "refused .* client alpha.* disabled",
}
#: Log lines by which each family says that it has sent a secret.
SENT = {"reference": "Sending secret to alpha", "ours": "sent the secret of client alpha"}

_numbers = itertools.count()


@dataclass
class Server:
    """A running server and how far its lines in the host's syslog have been read."""

    host: Host
    family: Family
    process: Process
    seen: int
    config: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.end()

    @property
    def address(self) -> str:
        """What a client of the same link gives to --connect."""
        return f"{self.host.link_local()}:{PORT}"

    def reload(self, section: str) -> None:
        """Have our server read another section, as an administrator would."""
        new = self.config / "clients.conf.new"
        new.touch(mode=0o640)
        shutil.chown(new, group="_mandos")
        new.write_text(_clients(section), encoding="utf-8")
        new.replace(self.config / "clients.conf")
        self.process.signal(signal.SIGHUP)

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> None:
        """Return when a log line after those already waited for matches ``pattern``."""
        try:
            self.seen = self.host.syslog.wait_for(pattern, after=self.seen, seconds=seconds)
        except AssertionError as error:
            error.add_note(self.process.report("the server"))
            raise


def _clients(section: str) -> str:
    return f"[DEFAULT]\nchecker = true\n\n{section}"


def start_server(
    host: Host,
    family: Family,
    section: str,
    *,
    zeroconf: bool = False,
    options: Sequence[str] = (),
) -> Server:
    """Start a server that serves one client; return when it listens and is announced."""
    number = next(_numbers)
    config, state = f"/run/config-{number}", f"/run/state-{number}"
    host.path(config).mkdir()
    host.path(state).mkdir(0o700)
    shutil.chown(host.path(state), "_mandos", "_mandos")
    host.path(f"{config}/mandos.conf").write_text("[DEFAULT]\n", encoding="ascii")
    host.path(f"{config}/clients.conf").touch(mode=0o600)
    host.path(f"{config}/clients.conf").write_text(_clients(section), encoding="utf-8")
    how = ("--interface", "eth0") if zeroconf else ("--no-zeroconf", "--port", str(PORT))
    where = ("--configdir", config, "--statedir", state)
    seen = len(host.syslog.lines)
    process = host.start(
        *(family.server, "--foreground", "--no-dbus", "--debuglevel", "DEBUG"),
        *(*where, *how, *options),
    )
    with ExitStack() as on_failure:
        server = on_failure.enter_context(Server(host, family, process, seen, host.path(config)))
        server.wait_for(LISTENING[family.name])
        if zeroconf:
            server.wait_for(ANNOUNCED[family.name])
        on_failure.pop_all()
    return server


def announced(site: Site, stack: ExitStack, keys: Credentials, family: Family) -> Host:
    """A host on the switch whose server is announced; by itself when it is ours."""
    host = site.host(avahi=family.name == "reference")
    stack.enter_context(start_server(host, family, keys.section, zeroconf=True))
    return host


def start_client(
    host: Host,
    family: Family,
    credentials: Credentials,
    *,
    connect: str | None = None,
    interface: str | None = "eth0",
    options: Sequence[str] = (),
) -> Process:
    """Start a client with its keys; without ``connect`` it searches by Zeroconf."""
    command = client_command(host, family, credentials, connect, interface)
    return host.start(*command, *options)


def client_command(
    host: Host,
    family: Family,
    credentials: Credentials,
    connect: str | None = None,
    interface: str | None = "eth0",
) -> list[str]:
    """Return how a client is started with its keys, which are installed on the host."""
    keys = credentials.install(host)
    files = (
        *("--pubkey", f"{keys}/pubkey.txt", "--seckey", f"{keys}/seckey.txt"),
        *("--tls-pubkey", f"{keys}/tls-pubkey.pem", "--tls-privkey", f"{keys}/tls-privkey.pem"),
    )
    where = () if interface is None else ("--interface", interface)
    how = () if connect is None else ("--connect", connect)
    return [family.client, *files, *where, "--retry", "1", *how]


def fetch(
    host: Host,
    family: Family,
    credentials: Credentials,
    *,
    connect: str | None = None,
    interface: str | None = "eth0",
    options: Sequence[str] = (),
) -> bytes:
    """Run a client to its successful end; return what it printed."""
    with start_client(
        host, family, credentials, connect=connect, interface=interface, options=options
    ) as client:
        assert client.wait() == 0, client.report("the client failed")
        return client.stdout
