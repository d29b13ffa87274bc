# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers on the link do their worst, and the client gets its password from the good server.

The rogue is there first; the good server comes once the client is busy with it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.keys import seal_with_gnupg
from harness.peers import announced, start_client
from mandos.openpgp.opening import read_secret_key

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.host import Host
    from harness.keys import Credentials
    from harness.process import Process
    from harness.vm.boot import Site

pytestmark = pytest.mark.peer

OURS = ours()
ROGUE = Path(__file__).with_name("harness") / "rogue_program.py"
#: What all processes of a client may have had at their peak, together.
MEMORY = 64 << 20
#: Seconds that the client and the rogue are alone.
ALONE = 5.0
#: Seconds after which an unsigned password would be used if the keys had no note, and some more.
UNSIGNED = 24.0
#: Lines on the console and in the log that a rogue may cause meanwhile.
LINES = 40


def _rogue(site: Site, stack: ExitStack, *words: str, message: bytes = b"") -> Host:
    host = site.host()
    if message:
        host.path("/run/dear").write_bytes(message)
        words += ("/run/dear",)
    rogue = stack.enter_context(host.start(sys.executable, str(ROGUE), *words))
    rogue.wait_for("rogue is ready")
    return host


def _private_memory(pid: int) -> int:
    """The bytes of memory that a process does not share with any other, and its children's."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    proportional = next(int(row.split()[1]) << 10 for row in rows if row.startswith("Pss:"))
    return proportional + sum(map(_private_memory, map(int, children)))


def _peak(client: Process) -> int:
    """The most that it had while it and the rogue were alone."""
    while not client.pids:
        assert client.running, client.report("it ended")
        time.sleep(0.01)
    (pid,) = client.pids
    peak, end = 0, time.monotonic() + ALONE
    while time.monotonic() < end:
        try:
            peak = max(peak, _private_memory(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue  # an opener has ended
        time.sleep(0.05)
    return peak


def _dear_message(keys: Credentials, host: Host) -> bytes:
    """As many session keys as a message may have; each hidden one costs a computation."""
    secret = host.path(f"{keys.install(host)}/seckey.txt").read_bytes()
    subkey = read_secret_key(secret).to_public_key().public_subkeys[0].key
    recipient = bytes.fromhex(str(subkey.key_id))
    point = b"\x40" + os.urandom(32)

    def session_key(whose: bytes) -> bytes:
        body = b"\3" + whose + b"\x12" + b"\x01\x07" + point + b"\x30" + os.urandom(48)
        return b"\xc1\xff" + len(body).to_bytes(4) + body

    data = b"\1" + os.urandom(60000)
    keys_of_session = session_key(bytes(8)) * 4 + session_key(recipient) * 12
    return keys_of_session + b"\xd2\xff" + len(data).to_bytes(4) + data


WAYS = {
    "hang": ("64", "0.01"),
    "big": ("64", "0.01"),
    "ports": ("60", "0.005"),
    "names": ("1", "0.002"),
    "send": ("62", "0.01"),
}


@pytest.mark.parametrize("way", WAYS)
def test_rogue_does_not_keep_a_good_server_out(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, way: str
) -> None:
    """Its memory and what it says stay bounded as well."""
    site.cable(client)
    message = _dear_message(keys, client) if way == "send" else b""
    _rogue(site, stack, way, *WAYS[way], message=message)
    with start_client(client, OURS, keys) as asking:
        peak = _peak(asking)
        announced(site, stack, keys, OURS)
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout == keys.password
    assert peak < MEMORY, asking.report(f"{peak >> 10} kB")
    assert len(asking.log.splitlines()) < LINES


def test_a_forged_password_is_never_used(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """mandos-keygen noted that it signed; the good server comes when an unsigned one was due."""
    site.cable(client)
    forged = seal_with_gnupg(keys, b"a stranger's password")
    _rogue(site, stack, "send", "1", "0.5", message=forged)
    with start_client(client, OURS, keys) as asking:
        asking.wait_for("--no-signed-only")
        end = time.monotonic() + UNSIGNED
        while time.monotonic() < end:
            assert asking.running, asking.report("it ended")
            time.sleep(0.1)
        announced(site, stack, keys, OURS)
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout == keys.password
