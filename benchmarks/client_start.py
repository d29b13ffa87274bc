# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's time from start to password: ours and the reference's, side by side.

``client_start.py [RUNS [LONE-RUNS]]``.  Two hosts on a cable, made of namespaces as in the tests;
the same keys and the same server for both clients; ours starts as in an initial RAM disk, with the
system's Python and no site-packages.  Ratios come from one run, taken in turn.  Then ours searches
by Zeroconf alone, often: its worst time shows; and at last for a server that comes late.  The exit
status says whether the bars are met.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

import mandos
from harness.bus import start_avahi, start_system_bus
from harness.families import Family, ours, reference
from harness.figures import Figures, spread
from harness.host import Host, Link, why_impossible
from harness.keys import Credentials, make_credentials
from harness.peers import start_server
from mandos.boot.image.launcher import launcher

RUNS = 25
LONE_RUNS = 200
#: Ours over the reference's with --connect; seconds by Zeroconf, in the middle and at the worst.
CONNECT_BAR, ZEROCONF_BAR, WORST_BAR = 0.35, 0.12, 1.0
#: Seconds that a server is late, how often, and seconds from its announcement to the password.
LATE, LATE_RUNS, LATE_BAR = 30.0, 3, 1.0
PYTHON = "/usr/bin/python3"
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
    runs, lone_runs = (
        *(int(word) for word in sys.argv[1:]),
        *(RUNS, LONE_RUNS)[len(sys.argv) - 1 :],
    )
    figures = Figures()
    with ExitStack() as stack:
        client = _start_script(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        link = Link(stack.enter_context(Host("server")), stack.enter_context(Host("client")))
        link.server.connect(link.client)
        start_system_bus(link.server)
        start_avahi(link.server)
        # What the reference makes without options: RSA, 4096 bits.
        credentials = make_credentials(link.client, reference(), "bench", PASSWORD, ())
        trial = _Trial(link, client, credentials, figures)
        for server in (ours(), reference()):
            trial.compare(server, runs, zeroconf=False)
            trial.compare(server, runs, zeroconf=True)
        trial.alone(lone_runs)
        trial.late(LATE_RUNS)
    return 0 if figures.met else 1


def _start_script(folder: Path) -> str:
    """Our client as packages install it: byte-compiled, and started by the system's Python."""
    folder.chmod(0o755)  # everybody can read what packages install
    script = folder / "mandos-client"
    library = folder / "library"
    shutil.copytree(Path(mandos.__file__).parent, library / "mandos")
    subprocess.run([PYTHON, "-ISm", "compileall", "-qf", library], check=True)
    folders = [str(library), sysconfig.get_path("platlib")]
    script.write_text(launcher("mandos.client.main", folders, PYTHON), encoding="utf-8")
    script.chmod(0o755)
    return str(script)


class _Trial:
    """Both clients with the same keys, on one link."""

    def __init__(self, link: Link, client: str, credentials: Credentials, figures: Figures) -> None:
        self._link = link
        self._client = client
        self._credentials = credentials
        self._figures = figures

    def compare(self, family: Family, runs: int, *, zeroconf: bool) -> None:
        """Time both in turn, asking a server of this family."""
        clients = (self._client, reference().client)
        mine, theirs = self._times(family, clients, runs, zeroconf=zeroconf)
        way = "Zeroconf" if zeroconf else "--connect"
        self._figures.title(f"{way}, server: {family.name}; {runs} runs, seconds")
        self._figures.show("ours", spread(mine))
        self._figures.show("reference", spread(theirs))
        bar = 1.0 if zeroconf else CONNECT_BAR
        self._figures.hold("ratio of the medians", [median(mine) / median(theirs)], bar)

    def alone(self, runs: int) -> None:
        """Time ours by Zeroconf many times."""
        (mine,) = self._times(ours(), (self._client,), runs, zeroconf=True)
        self._figures.title(f"Zeroconf, server and client: ours; {runs} runs, seconds")
        self._figures.hold("median", [median(mine)], ZEROCONF_BAR)
        self._figures.hold("worst", [max(mine)], WORST_BAR)

    def late(self, runs: int) -> None:
        """Time ours from the announcement of a server that it has long waited for."""
        took = [self._late() for _run in range(runs)]
        self._figures.title(
            f"a server announced {LATE:g} seconds after the client's start, seconds"
        )
        self._figures.hold("from the announcement to the password", took, LATE_BAR)

    def _late(self) -> float:
        options = _key_options(self._link.client, self._credentials)
        with self._link.client.start(self._client, "--interface", "eth0", *options) as waiting:
            time.sleep(LATE)
            section = self._credentials.section
            with start_server(self._link.server, ours(), section, zeroconf=True):
                announced = time.perf_counter()
                status = waiting.wait()
                took = time.perf_counter() - announced
            if status != 0 or waiting.stdout != PASSWORD:
                sys.exit(waiting.report(f"exit status {status}"))
        return took

    def _times(
        self, family: Family, clients: tuple[str, ...], runs: int, *, zeroconf: bool
    ) -> list[list[float]]:
        section = self._credentials.section
        with start_server(self._link.server, family, section, zeroconf=zeroconf) as server:
            options = [] if zeroconf else ["--connect", server.address]
            options += ["--interface", "eth0"]
            options += _key_options(self._link.client, self._credentials)
            commands = [[client, *options] for client in clients]
            return _timed(self._link.client, runs, commands)


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


if __name__ == "__main__":
    sys.exit(main())
