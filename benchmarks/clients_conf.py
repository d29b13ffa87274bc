# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ten thousand clients: seconds, and the memory that stays, of a fresh process.

Each client has a secret of 1.5 kB in base64 and what is usual beside it; once all stand in
clients.conf, once each has a file of its own in clients.d.
"""

from __future__ import annotations

import base64
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

CLIENTS = 10_000
RUNS = 7
SECRET = 1125  # bytes, sealed: 1500 characters of base64
WIDTH = 64
DEFAULTS = """[DEFAULT]
timeout = PT5M
interval = PT2M
domain = example.org
checker = fping -q -- %%(host)s

"""
#: Run in a process of its own: prints seconds, then the resident kilobytes before, after and most.
READER = """
import sys, time
from pathlib import Path
import mandos.server.main
from mandos.server.config.clients_conf import load_clients

def kilobytes(what):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1])

before, start = kilobytes("VmRSS"), time.perf_counter()
clients = load_clients(Path(sys.argv[1]))
assert len(clients) == int(sys.argv[2])
print(time.perf_counter() - start, before, kilobytes("VmRSS"), kilobytes("VmHWM"))
"""


def main() -> int:
    """Print the table; returns the exit status."""
    print(f"{CLIENTS} clients, {RUNS} runs: seconds as minimum / median / maximum, memory in MB")
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder, "one"), Path(folder, "many")
        one.mkdir()
        (many / "clients.d").mkdir(parents=True)
        sections = _sections()
        _write(one / "clients.conf", DEFAULTS + "".join(sections))
        _write(many / "clients.conf", DEFAULTS)
        for number, section in enumerate(sections):
            _write(many / f"clients.d/{number}.conf", section)
        _measure("one file", one)
        _measure("a file for each", many)
    return 0


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="ascii")


def _sections() -> list[str]:
    chance = random.Random(1)  # noqa: S311 - the same file each time
    return [_section(f"machine{number}", chance) for number in range(CLIENTS)]


def _section(name: str, chance: random.Random) -> str:
    text = base64.b64encode(chance.randbytes(SECRET)).decode()
    lines = "".join(f"        {text[at : at + WIDTH]}\n" for at in range(0, len(text), WIDTH))
    return (
        f"[{name}]\nhost = {name}.%(domain)s\nkey_id = {chance.randbytes(32).hex()}\n"
        f"fingerprint = {chance.randbytes(20).hex().upper()}\nsecret =\n{lines}"
        f"extended_timeout = PT{chance.randrange(15, 25)}M\n\n"
    )


def _measure(title: str, configdir: Path) -> None:
    command = [sys.executable, "-c", READER, str(configdir), str(CLIENTS)]
    runs = [
        [
            float(word)
            for word in subprocess.run(command, capture_output=True, check=True).stdout.split()
        ]
        for _ in range(RUNS)
    ]
    seconds = [run[0] for run in runs]
    before, after, most = (median(column) / 1024 for column in list(zip(*runs, strict=True))[1:])
    print(
        f"{title:18}{min(seconds):6.2f} /{median(seconds):6.2f} /{max(seconds):6.2f}"
        f"   {before:4.0f} before, {after:4.0f} after, {most:4.0f} at most"
    )


if __name__ == "__main__":
    sys.exit(main())
