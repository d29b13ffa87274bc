# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our server over its life: reloads, restarts, outages, as an administrator sees them."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from harness.families import ours, reference
from harness.peers import PORT, fetch, start_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.families import Family
    from harness.host import Host, Link
    from harness.keys import Credentials
    from harness.process import Process

    Keys = Callable[[Family], Credentials]

pytestmark = pytest.mark.peer

#: A database that was closed in WAL mode, as one that needs no other file: fileformat2, 1.3.3.
_NO_WAL = (b"\x02\x02", b"\x01\x01")
STRANGER = "[stranger]\nkey_id = {}\nsecret = aGVsbG8=\n"


class Site:
    """A server's files on a host, and the server as often as it is started."""

    def __init__(self, host: Host, name: str, port: int = PORT) -> None:
        self.host = host
        self.etc, self.state = f"/run/{name}/etc", f"/run/{name}/state"
        self.port = port
        self.seen = 0
        host.path(self.etc).mkdir(parents=True)
        self._stack = ExitStack()

    def close(self) -> None:
        """End the server and forget the files."""
        self._stack.close()

    def write(self, name: str, *sections: str) -> None:
        """Write a file of the configuration."""
        path = self.host.path(f"{self.etc}/{name}")
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o640)
        self.host.run("chgrp", "_mandos", f"{self.etc}/{name}")
        path.write_text("[DEFAULT]\nchecker = true\n\n" + "".join(sections), encoding="utf-8")

    def start(self, *options: str) -> Process:
        """Start the server; return when it serves."""
        command = (
            *(ours().server, "--foreground", "--no-dbus", "--no-zeroconf"),
            *("--configdir", self.etc, "--statedir", self.state, "--port", str(self.port)),
        )
        process = self._stack.enter_context(self.host.start(*command, *options))
        self.wait_for(rf"serving \d+ clients on port {self.port}")
        return process

    def wait_for(self, pattern: str) -> None:
        """Wait for a line of the log after those already waited for."""
        self.seen = self.host.syslog.wait_for(pattern, after=self.seen)

    def audit(self) -> list[tuple[str, str, str, str]]:
        """Kind, client, interface and detail of every record that an ended server left."""
        path = self.host.path(f"{self.state}/mandos.db")
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(path.read_bytes().replace(*_NO_WAL, 1))
            query = "SELECT kind, client, interface, detail FROM audit ORDER BY id"
            return list(database.execute(query))

    @property
    def address(self) -> str:
        """What a client of the same link gives to --connect."""
        return f"{self.host.link_local()}:{self.port}"


@pytest.fixture
def site(link: Link) -> Iterator[Site]:
    """A site on the server's host."""
    site = Site(link.server, "site")
    site.seen = len(link.server.syslog.lines)
    yield site
    site.close()
    link.server.run("sh", "-c", "umount /run/site/state 2>&1; rm -r /run/site")


def test_reload_takes_over_all_or_nothing(link: Link, site: Site, keys_of: Keys) -> None:
    """Clients come by drop-ins and go; a broken file changes nothing and says where."""
    keys = keys_of(ours())
    site.write("clients.conf", STRANGER.format("ab" * 32))
    server = site.start()
    site.write("clients.d/alpha.conf", keys.section)
    server.signal(signal.SIGHUP)
    site.wait_for("client alpha is new")
    site.wait_for("configuration read again: 2 clients, 1 added, 0 removed")
    assert fetch(link.client, ours(), keys, connect=site.address) == keys.password
    site.write("clients.d/alpha.conf", keys.section, "timeout = soon\n")
    server.signal(signal.SIGHUP)
    site.wait_for("reload failed")
    site.wait_for(r"clients\.d/alpha\.conf: line \d+: .*timeout: 'soon' is not a duration")
    assert fetch(link.client, reference(), keys, connect=site.address) == keys.password
    site.write("clients.d/alpha.conf")
    server.signal(signal.SIGHUP)
    site.wait_for("configuration read again: 1 clients, 0 added, 1 removed")
    with start_client(link.client, ours(), keys, connect=site.address):
        site.wait_for("refused .* no client has the key ID")
    assert server.terminate() == 0


def test_unreadable_file_is_told_at_reload(site: Site) -> None:
    """The server has given up root by then: it says who may not read what, and the remedy."""
    site.write("clients.conf", STRANGER.format("ab" * 32))
    server = site.start()
    site.host.path(f"{site.etc}/clients.conf").chmod(0o600)
    server.signal(signal.SIGHUP)
    site.wait_for("reload failed")
    site.wait_for("_mandos may not read .*clients.conf; run: chgrp _mandos .*clients.conf")
    assert server.terminate() == 0


def test_disabled_client_stays_disabled_over_kill_and_restart(
    link: Link, site: Site, keys_of: Keys
) -> None:
    """What the reference forgets: killed after an expiry, the server still refuses the client."""
    keys = keys_of(ours())
    section = f"{keys.section}\ntimeout = PT1S\nchecker = false\n"
    site.write("clients.conf", section)
    server = site.start()
    site.wait_for("client alpha is disabled: timeout")
    server.signal(signal.SIGKILL)
    server.wait()
    server = site.start()
    with start_client(link.client, ours(), keys, connect=site.address):
        site.wait_for("refused .*: client alpha: disabled")
    assert server.terminate() == 0
    kinds = [(kind, detail) for kind, _client, _interface, detail in site.audit()]
    assert kinds == [("added", ""), ("disabled", "timeout"), ("rejected", "Disabled")]


def test_sent_secret_is_on_record(link: Link, site: Site, keys_of: Keys) -> None:
    """With the client and the interface that it came in by."""
    keys = keys_of(ours())
    site.write("clients.conf", keys.section)
    server = site.start()
    assert fetch(link.client, ours(), keys, connect=site.address) == keys.password
    site.wait_for("sent the secret of client alpha to")
    assert server.terminate() == 0
    assert site.audit()[-1] == ("secret-sent", "alpha", "eth0", "")


def test_forgetting_on_purpose(site: Site) -> None:
    """--no-restore begins as the files say; the audit trail stays."""
    site.write("clients.conf", STRANGER.format("ab" * 32), "timeout = PT1S\nchecker = false\n")
    server = site.start()
    site.wait_for("client stranger is disabled: timeout")
    assert server.terminate() == 0
    server = site.start("--no-restore")
    site.wait_for("client stranger is disabled: timeout")
    assert server.terminate() == 0
    assert [kind for kind, *_rest in site.audit()] == ["added", "disabled"] * 2


def test_daemon(site: Site) -> None:
    """Started without --foreground it returns when it serves; its PID file names it."""
    site.write("clients.conf", STRANGER.format("ab" * 32))
    command = (ours().server, "--no-dbus", "--no-zeroconf", "--port", str(PORT))
    where = ("--configdir", site.etc, "--statedir", site.state)
    started = site.host.start(*command, *where)
    assert started.wait() == 0
    site.wait_for("serving 1 clients")
    pid = site.host.path("/run/mandos.pid").read_text(encoding="ascii").strip()
    second = site.host.start(*command, *where)
    assert second.wait() == 69
    assert "Address already in use" in second.log
    assert site.host.path("/run/mandos.pid").read_text(encoding="ascii").strip() == pid
    site.host.run("kill", pid)
    site.wait_for("ending because of SIGTERM")


def test_two_servers_cannot_share_a_state(site: Site) -> None:
    """The second one says so and ends."""
    site.write("clients.conf", STRANGER.format("ab" * 32))
    site.start()
    second = site.host.start(
        *(ours().server, "--foreground", "--no-dbus", "--no-zeroconf", "--port", "4999"),
        *("--configdir", site.etc, "--statedir", site.state),
    )
    assert second.wait() == 69
    assert "another server uses the state directory" in second.log


def test_full_disk(site: Site) -> None:
    """What cannot be saved is in force all the same, said aloud, and saved when there is room."""
    section = STRANGER.format("ab" * 32)
    site.write("clients.conf", section)
    site.host.run("mkdir", "-m", "0700", site.state)
    where = ("-t", "tmpfs", "-o", "size=1m,mode=0700,uid=_mandos,gid=_mandos", "none", site.state)
    site.host.run("mount", *where)
    server = site.start()
    fill = f"head -c 2M /dev/zero >{site.state}/filling || true"
    site.host.run("sh", "-c", fill)
    site.write("clients.conf", section, "enabled = no\n")
    server.signal(signal.SIGHUP)
    site.wait_for("cannot write the state .*: .*(full|space|I/O)")
    site.wait_for("client stranger is disabled: configuration")
    site.wait_for("the new configuration is in force, but not saved: .*")
    site.host.run("rm", f"{site.state}/filling")
    site.wait_for("the state is saved again")
    server.signal(signal.SIGKILL)
    server.wait()
    server = site.start()
    assert server.terminate() == 0
    assert site.audit()[-1] == ("disabled", "stranger", "", "configuration")


def test_link_loss(link: Link) -> None:
    """Without a link the timeouts run on, or stand still and then run on with what was left."""
    section = STRANGER.format("ab" * 32).replace("stranger", "{}") + "timeout = PT2S\n"
    with ExitStack() as stack:
        sites = {
            kind: Site(link.server, kind, PORT + number)
            for number, kind in enumerate(("expire", "hold"))
        }
        for kind, site in sites.items():
            stack.callback(site.close)
            site.seen = len(link.server.syslog.lines)
            site.write("clients.conf", section.format(kind) + "checker = false\n")
            site.write("mandos.conf", f"link_loss = {kind}\n")
        stack.callback(link.server.run, "ip", "link", "set", "eth0", "up")
        link.server.run("ip", "link", "set", "eth0", "down")
        for site in sites.values():
            site.start()
        sites["expire"].wait_for("client expire is disabled: timeout")
        assert "client hold is disabled" not in link.server.syslog.log
        assert "no network: the clients' timeouts stand still" in link.server.syslog.log
        link.server.run("ip", "link", "set", "eth0", "up")
        sites["hold"].wait_for("the network is back")
        sites["hold"].wait_for("client hold is disabled: timeout")
