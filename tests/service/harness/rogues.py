# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers on a link, the message that is most expensive to open, and a client's memory."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from harness import mob_program
from mandos.openpgp.opening import read_secret_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from harness.host import Host
    from harness.keys import Credentials
    from harness.process import Process
    from harness.vm.boot import Site

#: Addresses of the strangers; they have as many names, and more ports.
HOSTS = 1000
#: What all processes of a client may have at any time, together.
MEMORY_LIMIT = 64 << 20
#: Seconds between two looks at the memory of a client.
_LOOK = 0.05


def start_mob(site: Site, stack: ExitStack, message: bytes, *ways: str) -> Process:
    """Strangers who use the whole budget, in these ways or in all; one is to send ``message``."""
    host = site.host()
    numbers = range(HOSTS)
    addresses = (f"address add {mob_program.address(n)}/64 dev eth0 nodad" for n in numbers)
    host.path("/run/addresses").write_text("\n".join(addresses), encoding="ascii")
    host.run("ip", "-batch", "/run/addresses")
    host.path("/run/message").write_bytes(message)
    program = str(Path(mob_program.__file__))
    mob = stack.enter_context(
        host.start(sys.executable, program, str(HOSTS), "/run/message", *ways)
    )
    mob.wait_for("rogue is ready")
    return mob


def told_by_mob(mob: Process) -> dict[str, int]:
    """What the strangers have sent so far, and connections of each kind."""
    mob.wait_for("^packets", after=len(mob.lines))
    words = mob.lines[-1].split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def expensive_message(keys: Credentials, host: Host) -> bytes:
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


class Memory:
    """The most memory in bytes: of all processes together, and of the largest process by itself.

    The first counts memory that several processes share once (Pss), the second is VmHWM.
    """

    def __init__(self) -> None:
        self.together = self.largest = 0
        self.looks = 0

    def look(self, pid: int) -> None:
        """Look at a process and its descendants; those that have ended meanwhile do not count."""
        pids = list(_family(pid))
        self.together = max(
            self.together, sum(_figure(one, "smaps_rollup", "Pss:") for one in pids)
        )
        self.largest = max(self.largest, *(_figure(one, "status", "VmHWM:") for one in pids))
        self.looks += 1


@contextmanager
def memory_of(client: Process) -> Iterator[Memory]:
    """Watch a client's memory until the block is left."""
    memory, ended = Memory(), Event()

    def watch() -> None:
        while not ended.wait(_LOOK):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                for pid in client.pids[:1]:
                    memory.look(pid)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        ended.set()
        watcher.join()


def processor_seconds(client: Process) -> float:
    """What a client's processes have used so far, those included that have ended."""
    ticks = 0
    for pid in _family(client.pids[0]):
        with suppress(FileNotFoundError, ProcessLookupError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            # Fields 14 to 17, counted from the end of the name, the second: proc_pid_stat(5).
            ticks += sum(map(int, stat.rpartition(") ")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in map(int, children):
        yield from _family(child)


def _figure(pid: int, file: str, name: str) -> int:
    try:
        rows = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [row.split()[1] for row in rows.splitlines() if row.startswith(name)]
    return int(found[0]) << 10 if found else 0
