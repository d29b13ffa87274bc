# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's time from start to password: ours and the reference's, side by side.

Two hosts on a cable, made of namespaces as in the tests; the same keys and the same server for
both clients.  Only the ratios say something: they come from one run, taken in turn.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.bus import start_avahi, start_system_bus
from harness.families import Family, ours, reference
from harness.host import Host, Link, why_impossible
from harness.keys import Credentials, make_credentials
from harness.peers import start_server

RUNS = 25
KEY_FILES = {
    "--pubkey": "pubkey.txt",
    "--seckey": "seckey.txt",
    "--tls-pubkey": "tls-pubkey.pem",
    "--tls-privkey": "tls-privkey.pem",
}
PASSWORD = b"password of the benchmark"


def main() -> int:
    """Print the table; returns the exit status."""
    if reason := why_impossible():
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        link = Link(stack.enter_context(Host("server")), stack.enter_context(Host("client")))
        link.server.connect(link.client)
        start_system_bus(link.server)
        start_avahi(link.server)
        credentials = make_credentials(link.client, reference(), "bench", PASSWORD)
        print(f"{'seconds from start to password':38}{'ours':>22}{'reference':>22}{'ratio':>7}")
        for server in (ours(), reference()):
            _compare(link, server, credentials, zeroconf=False)
            _compare(link, server, credentials, zeroconf=True)
    return 0


def _compare(link: Link, family: Family, credentials: Credentials, *, zeroconf: bool) -> None:
    with start_server(link.server, family, credentials.section, zeroconf=zeroconf) as server:
        options = [] if zeroconf else ["--connect", server.address]
        options += ["--interface", "eth0", *_key_options(link.client, credentials)]
        commands = [[client.client, *options] for client in (ours(), reference())]
        mine, theirs = _timed(link.client, RUNS, commands)
    way = "Zeroconf" if zeroconf else "--connect"
    title = f"{way}, server: {family.name}"
    ratio = median(mine) / median(theirs)
    print(f"{title:38}{_spread(mine):>22}{_spread(theirs):>22}{ratio:>7.2f}", flush=True)


def _key_options(host: Host, credentials: Credentials) -> list[str]:
    folder = credentials.install(host)
    return [f"{option}={folder}/{name}" for option, name in KEY_FILES.items()]


def _timed(host: Host, runs: int, commands: list[list[str]]) -> list[list[float]]:
    script = str(Path(__file__).with_name("pairs.py"))
    process = host.start(sys.executable, script, str(runs), PASSWORD.hex(), json.dumps(commands))
    status = process.wait(seconds=900)
    if status != 0:
        sys.exit(process.report(f"exit status {status}"))
    times: list[list[float]] = json.loads(process.stdout)
    return times


def _spread(times: list[float]) -> str:
    return f"{min(times):.3f} {median(times):.3f} {max(times):.3f}"


if __name__ == "__main__":
    sys.exit(main())
