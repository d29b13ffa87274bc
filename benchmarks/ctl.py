# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-ctl listing ten thousand clients: seconds of the whole program, start to end.

The clients are those of a peer on a private bus that answers as the server does, at once: what
is measured is mandos-ctl and the bus, not a server.
"""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from dbus_fast import Message, Variant
from dbus_fast.aio import MessageBus

from mandos import bus_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLIENTS = 10_000
RUNS = 7
CTL = str(Path(sys.executable).parent / "mandos-ctl")
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""
PROPERTIES: dict[str, tuple[str, Any]] = {
    "ApprovalDelay": ("t", 0), "ApprovalDuration": ("t", 1000), "ApprovalPending": ("b", False),
    "ApprovedByDefault": ("b", True), "Checker": ("s", "fping -q -- %(host)s"),
    "CheckerRunning": ("b", False), "Created": ("s", "2026-11-24T04:09:47.036826"),
    "Enabled": ("b", True), "Expires": ("s", "2056-11-24T04:13:30.172096"),
    "ExtendedTimeout": ("t", 900000), "Fingerprint": ("s", "7788" * 10), "Interval": ("t", 120000),
    "KeyID": ("s", "AB" * 32), "LastApprovalRequest": ("s", ""),
    "LastCheckedOK": ("s", "2026-11-24T04:15:46.686330"), "LastCheckerStatus": ("n", 0),
    "LastEnabled": ("s", "2026-11-24T04:09:47.042642"), "Timeout": ("t", 300000),
}  # fmt: skip


def main() -> int:
    """Print the table; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "bus")
        config = Path(folder, "bus.conf")
        config.write_text(BUS_CONFIG.format(socket=socket), encoding="ascii")
        command = ("dbus-daemon", f"--config-file={config}", "--nofork", "--print-address")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as bus:
            address = bus.stdout.readline().decode().strip() if bus.stdout else ""
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
            try:
                asyncio.run(_measure_all(address))
            finally:
                bus.terminate()
    return 0


async def _measure_all(address: str) -> None:
    bus = await MessageBus(bus_address=address).connect()
    objects = {bus_names.client_path(name): _object(name) for name in _names()}
    bus.add_message_handler(lambda message: _answer(message, objects))
    await bus.request_name(bus_names.BUS_NAME)
    print(f"{CLIENTS} clients, {RUNS} runs: seconds as minimum / median / maximum")
    for title, words, run in (
        ("table", (), _piped),
        ("verbose table", ("--verbose",), _piped),
        ("JSON", ("--dump-json",), _piped),
        ("on a terminal", (), _on_terminal),
        ("one client", (next(iter(_names())),), _piped),
    ):
        times = [await asyncio.to_thread(_time, run, [CTL, *words]) for _ in range(RUNS)]
        print(f"{title:16}{min(times):6.2f} /{median(times):6.2f} /{max(times):6.2f}", flush=True)
    bus.disconnect()


def _names() -> list[str]:
    return [f"machine{number}.example.org" for number in range(CLIENTS)]


def _object(name: str) -> dict[str, Any]:
    """What GetManagedObjects has of a client, with the interfaces that every object has."""
    own = {
        "Name": ("s", name),
        "Host": ("s", name),
        "ObjectPath": ("o", bus_names.client_path(name)),
    }
    values = {key: Variant(*value) for key, value in (PROPERTIES | own).items()}
    ours = {"DisabledAt": Variant("s", ""), "DisabledReason": Variant("s", "")}
    plain: dict[str, Any] = {bus_names.INTROSPECTABLE: {}, bus_names.PROPERTIES: {}}
    return {**plain, bus_names.CLIENT: values, bus_names.CLIENT1: ours}


def _answer(message: Message, objects: dict[str, Any]) -> Message | None:
    if message.member != "GetManagedObjects":
        return None
    return Message.new_method_return(message, "a{oa{sa{sv}}}", [objects])


def _time(run: Callable[[Sequence[str]], None], command: Sequence[str]) -> float:
    start = time.perf_counter()
    run(command)
    return time.perf_counter() - start


def _piped(command: Sequence[str]) -> None:
    subprocess.run(command, stdout=subprocess.PIPE, check=True)


def _on_terminal(command: Sequence[str]) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(command, stdout=slave, env=os.environ | {"TERM": "xterm"}) as program:
        os.close(slave)
        try:
            while os.read(master, 65536):
                pass
        except OSError:  # Linux's end of a terminal
            pass
        finally:
            os.close(master)
        if program.wait():
            sys.exit(f"mandos-ctl failed: {program.returncode}")


if __name__ == "__main__":
    sys.exit(main())
