# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times commands in turn, A B A B …, as whole processes; prints the seconds as JSON.

Runs on a test host: ``pairs.py RUNS EXPECTED-OUTPUT-AS-HEX COMMANDS-AS-JSON``.  In turn, since
machines are noisy: what disturbs one disturbs the others too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time


def _seconds(command: list[str], expected: bytes) -> float:
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    took = time.perf_counter() - begin
    if done.stdout != expected:
        sys.exit(f"{command[0]}: wrong password: {done.stderr.decode(errors='replace')}")
    return took


def main() -> None:
    """Time every command RUNS times, after one that does not count."""
    runs, expected, commands = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), json.loads(sys.argv[3])
    for command in commands:
        _seconds(command, expected)
    rounds = [[_seconds(command, expected) for command in commands] for _ in range(runs)]
    print(json.dumps([list(column) for column in zip(*rounds, strict=True)]))


if __name__ == "__main__":
    main()
