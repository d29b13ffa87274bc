# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that ask when they are told to: ``asker_program.py PORT FOLDER SECONDS``.

Reads lines ``NUMBER NAME ADDRESS``, and prints ``NUMBER OUTCOME BEGIN END`` for each request as it
ends: ``got``, ``nothing`` (also from a server that does not answer), ``part`` or ``wrong``, and the
times by CLOCK_MONOTONIC.  A server has so many seconds for each step.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from harness.crowd_program import Client
from mandos.tls.session import TLSError


def _ask(client: Client, port: int, address: str, number: str) -> None:
    begin = time.monotonic()
    try:
        outcome = client.ask(port, address)
    except (OSError, TLSError):
        outcome = "nothing"
    end = time.monotonic()
    print(f"{number} {outcome} {begin} {end}\n", end="", flush=True)  # noqa: T201 - a program


def main() -> None:
    """Ask until the standard input ends."""
    port, folder, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    clients = {path.stem: Client(folder, path.stem, seconds) for path in folder.glob("*.key")}
    print("ready", flush=True)  # noqa: T201 - the same
    for line in sys.stdin:
        number, name, address = line.split()
        arguments = clients[name], port, address, number
        threading.Thread(target=_ask, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main()
