# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a search takes, asked from a port of our own or from port 5353 (docs/discovery.md).

``MANDOS_SEARCHES=200 pytest -s tests/service/test_discovery_figures.py`` prints the figures; in
the suite a few searches only show that both ways work.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys

import pytest

from harness.bus import start_avahi, start_system_bus
from harness.host import Host, why_impossible

SEARCHES = int(os.environ.get("MANDOS_SEARCHES", "3"))
#: Prints the seconds of each search, from the opening of its sockets to the first endpoint.
MEASURE = """
import selectors, sys, time
from mandos.discovery.finder import Finder
from mandos.discovery.sockets import usable_interfaces
for _ in range(int(sys.argv[2])):
    started = time.monotonic()
    finder, found = Finder(usable_interfaces()), []
    with selectors.DefaultSelector() as selector:
        for sock in finder.sockets:
            selector.register(sock, selectors.EVENT_READ)
        for channel in finder._channels if sys.argv[1] == "group" else ():
            channel.asking, unused = channel.hearing, channel.asking
            selector.unregister(unused)
            unused.close()
        while not found:
            finder.tick(time.monotonic())
            for key, _ in selector.select(finder.deadline(time.monotonic()) - time.monotonic()):
                found += finder.readable(key.fileobj)
    print(time.monotonic() - started, flush=True)
    finder.close()
    time.sleep(0.1)
"""
#: Announces by whatever is there, until the host ends.
ANNOUNCE = """
import asyncio
from mandos.discovery.announce import Announcer
from mandos.discovery.announcement import Announcement
async def main():
    announcer = Announcer(Announcement(4711), lambda name: print("named", name, flush=True))
    await announcer.start()
    await asyncio.Event().wait()
asyncio.run(main())
"""

impossible = why_impossible()
pytestmark = [
    pytest.mark.skipif(impossible is not None, reason=impossible or ""),
    pytest.mark.timeout(120 + 2 * SEARCHES),
]


@pytest.mark.parametrize("way", ["direct", "group"])
@pytest.mark.parametrize("responder", ["avahi", "embedded"])
def test_time_of_a_search(responder: str, way: str) -> None:
    """Every search finds the server, by either way, from either responder."""
    if responder == "avahi" and not (shutil.which("avahi-daemon") and shutil.which("dbus-daemon")):
        pytest.skip("not installed: avahi-daemon or dbus-daemon")
    with Host("server") as server, Host("client") as client:
        server.connect(client)
        if responder == "avahi":
            start_system_bus(server)
            start_avahi(server)
        server.start(sys.executable, "-c", ANNOUNCE).wait_for("^named Mandos$")
        search = client.start(sys.executable, "-c", MEASURE, way, str(SEARCHES))
        assert search.wait(60 + 2 * SEARCHES) == 0, search.log
        times = sorted(1000 * float(line) for line in search.lines)
    assert len(times) == SEARCHES
    sys.stdout.write(
        f"\n{responder}, {way}: {SEARCHES} searches, "
        f"median {statistics.median(times):.1f} ms, worst {times[-1]:.1f} ms\n"
    )
