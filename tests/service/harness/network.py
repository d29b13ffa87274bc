# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's network half as a program of a host: announces, listens, says what it sees."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.host import Host
    from harness.process import Process

#: Runs with the settings of its first argument (JSON), without root, until SIGTERM.
SERVE = """
import asyncio, json, logging, os, signal, sys
from mandos.discovery.announce import load
from mandos.server.requests.connection import TLS
from mandos.server.requests.listener import Listener
from mandos.server.requests.interface_changes import Network, announce, keep_listening
from mandos.server.config.server_conf import ServerSettings
from mandos.server.requests.sockets import open_socket
from mandos.tls.credentials import Credentials, Priority

class Telling(Listener):
    def _begin(self, sock, peer):
        print("peer", repr(peer), flush=True)
        super()._begin(sock, peer)

async def main(settings, listening):
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    network = Network()
    network.start()
    tell = lambda: print("connected", network.connected(settings.interface), flush=True)
    network.listen(tell)
    tell()
    listener = Telling(listening, TLS(Priority(settings.priority), Credentials()), None)
    listener.start()
    print("serving", flush=True)
    work = (announce(settings, listener.port, network), keep_listening(settings, listener, network))
    tasks = [asyncio.create_task(one) for one in work]
    await ended.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await listener.stop()
    network.stop()
    assert all(task.cancelled() or task.exception() is None for task in tasks), tasks

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
settings = ServerSettings(**json.loads(sys.argv[1]))
listening = open_socket(settings)
load()
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
asyncio.run(main(settings, listening), debug=True)
"""
#: Says hello over TCP to ADDRESS PORT [INTERFACE], and how that went.
SAY = """
import socket, sys
address, port, *interface = sys.argv[1:]
scope = socket.if_nametoindex(interface[0]) if interface else 0
where = (address, int(port), 0, scope) if ":" in address else (address, int(port))
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
    sock.settimeout(30)
    try:
        sock.connect(where)
        sock.sendall(b"hello\\n")
        print("answered", sock.recv(100))
    except OSError as error:
        print("failed:", error.strerror)
"""
#: Prints the machine's links at the start and after every change.
WATCH = """
import select
from mandos.links import Links
links = Links()
while True:
    if links.update():
        print(*(f"{i}:{'/'.join(link.names)}:"
                + ",".join(what for what in ("up", "running", "loopback", "noarp") if getattr(link, what))
                for i, link in sorted(links.by_index.items())), flush=True)
    select.select([links], [], [])
"""  # noqa: E501 - a program in a program
#: Lets the kernel say more than a socket holds; prints how often it was asked, how many links are
#: known in the end, and the one that came and went.
OVERRUN = """
import select, socket, subprocess
from mandos.links import Links
links = Links()
links.update()
links._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
made = [f"link add many{number} type veth peer name more{number}" for number in range(50)]
batch = "\\n".join([*made, "link delete many7"])
subprocess.run(["ip", "-batch", "-"], check=True, text=True, input=batch)
while len(links.by_index) != 99:
    select.select([links], [], [])
    links.update()
print(links._table._sequence, len(links.by_index), links.named("many7"))
"""


def serve(host: Host, **settings: str | int | bool) -> Process:
    """Start the server's network half; return when it serves."""
    process = host.start(sys.executable, "-c", SERVE, json.dumps(settings))
    process.wait_for("^serving$")
    return process


def say(host: Host, address: str, port: int, interface: str = "") -> str:
    """Speak to a server; return what came of it: ``answered b''`` when it hung up."""
    where = (address, str(port), *([interface] if interface else []))
    return host.run(sys.executable, "-c", SAY, *where).decode().strip()


def watch_links(host: Host) -> Process:
    """Start to print a host's links."""
    return host.start(sys.executable, "-c", WATCH)
