# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine of its own for a test, made of namespaces: network, processes, /run, /dev, /tmp.

The namespaces have no name anywhere.  They live as long as one holder process, which ends when its
standard input does: a killed test run leaves nothing behind, and runs side by side cannot meet.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from harness.patience import Patience
from harness.process import PATIENCE, Process

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Printed by the holder: its process number as the test sees it, then that all is mounted.  The log
#: level of the kernel's console is the whole machine's, so a file stands in for it.
HOLDER = """
read -r pid rest </proc/self/stat
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /dev
mkdir -m 1777 /dev/shm /run/tmp
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
cat /proc/sys/kernel/printk >/run/printk
mount --bind /run/printk /proc/sys/kernel/printk
for conf in all default lo; do
    echo 0 >/proc/sys/net/ipv6/conf/$conf/accept_dad
    echo 0 >/proc/sys/net/ipv6/conf/$conf/router_solicitation_delay
done
ip link set lo up
echo "ready $pid"
exec cat
"""
#: What holds the log's socket and prints what arrives there, a line for a message.
LOG_SINK = """
import socket, sys
sink = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sink.bind("/dev/log")
print("listening", flush=True)
while True:
    print(sink.recv(65536).rstrip(b"\\n\\0").decode(errors="replace"), flush=True)
"""
#: The addresses of both ends of a cable.
CABLE_ADDRESSES = (
    "2001:db8:ca:{number:x}::{end}",
    "fd00:ca:0:{number:x}::{end}",
    "10.202.{number}.{end}",
)
ISOLATE = (
    *("unshare", "--net", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child=KILL"),
)

_cables = itertools.cycle(range(256))


@functools.cache
def why_impossible() -> str | None:
    """Say why this machine cannot make hosts; None when it can."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    trial = subprocess.run(
        [*ISOLATE, "sh", "-ec", HOLDER], capture_output=True, input=b"", check=False
    )
    if trial.returncode != 0:
        return f"namespaces cannot be made here: {trial.stderr.decode().strip()}"
    return None


class Host:
    """A machine of a test: ``start`` and ``run`` run programs on it, ``path`` reaches its files."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[Process] = []
        self._holder = Process([*ISOLATE, "sh", "-ec", HOLDER])
        ready = self._holder.wait_for("^ready")
        self.pid = int(self._holder.lines[ready - 1].split()[1])
        self.syslog = self.start("/usr/bin/python3", "-I", "-S", "-c", LOG_SINK)
        self.syslog.wait_for("^listening$")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the host and every program on it."""
        self._holder.end()
        for process in self._processes:
            process.wait()

    @property
    def entrance(self) -> tuple[str, ...]:
        """The words before a command that let it run on this host.

        Whoever runs the tests in the background ignores signals, which programs would inherit.
        """
        default = ("env", "--default-signal=HUP,INT")
        return (*default, "nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--")

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": "/run/tmp",
            "TMPDIR": "/run/tmp",
        } | dict(extra or {})

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> Process:
        """Start a program on this host; it ends with the host at the latest."""
        process = Process(
            command, launcher=self.entrance, environment=self._environment(environment)
        )
        self._processes.append(process)
        return process

    def run(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        seconds: float = PATIENCE,
    ) -> bytes:
        """Run a program on this host to its successful end; return its standard output."""
        process = self.start(*command, environment=environment)
        status = process.wait(seconds)
        self._processes.remove(process)
        assert status == 0, process.report(f"exit status {status}")
        return process.stdout

    def path(self, name: str) -> Path:
        """Where the test reaches this host's file ``name`` (absolute, below /run or /dev)."""
        return Path(f"/proc/{self.pid}/root{name}")

    def connect(
        self, other: Host, interface: str = "eth0", *, link_local_only: bool = False
    ) -> None:
        """Lay a cable between the two hosts; return when both ends have usable addresses.

        As on most networks these are of all kinds: beside the link-local ones each end has a
        global and a unique local IPv6 address, and one of IPv4, in networks of this cable's own.
        """
        self.lay_cable(interface, other, interface)
        number = next(_cables)
        for host in (self, other):
            host.run("ip", "link", "set", interface, "up")
        for end, host in enumerate((self, other), 1):
            host.link_local(interface)
            if not link_local_only:
                own = (network.format(number=number, end=end) for network in CABLE_ADDRESSES)
                host.give_addresses(*own, interface=interface)

    def lay_cable(self, interface: str, other: Host, there: str, *then: str) -> None:
        """Lay a cable from our ``interface`` to the other's, ``there``; both ends are down.

        ``then`` are further commands to ip(8) on this host, which follow at once.
        """
        peer = f"type veth peer name {there} netns {other.pid}"
        batch = "\n".join([f"link add {interface} {peer}", *then])
        # Only the network namespace is entered: the kernel looks the other host's process up.
        entrance = ("nsenter", "--target", str(self.pid), "--net", "ip", "-batch", "-")
        subprocess.run(entrance, check=True, input=batch, text=True)

    def is_up(self, interface: str = "eth0") -> bool:
        """Whether somebody has switched the interface on."""
        return "UP" in self._shown(interface)["flags"]

    def settle(self, interface: str = "eth0") -> None:
        """Return when the kernel has noticed that the interface has no carrier.

        Until then it would be told to run as soon as it is up (netdevice(7), RFC 2863).
        """
        patience = Patience(PATIENCE)
        while self._shown(interface)["operstate"] == "UNKNOWN":
            assert not patience.is_over(), f"{interface} of {self.name} does not settle"

    def _shown(self, interface: str) -> dict[str, Any]:
        shown = json.loads(self.run("ip", "-json", "link", "show", "dev", interface))
        return dict(shown[0])

    def give_addresses(self, *addresses: str, interface: str = "eth0") -> None:
        """Give an interface addresses of /64 or /24, usable at once."""
        for address in addresses:
            length = "/64" if ":" in address else "/24"
            word = ["nodad"] if ":" in address else []
            self.run("ip", "address", "add", address + length, "dev", interface, *word)

    def link_local(self, interface: str = "eth0") -> str:
        """Return the interface's IPv6 link-local address once it is usable."""
        return self.addresses(interface, "link")[0]

    def addresses(
        self, interface: str = "eth0", scope: str = "global", number: int = 1
    ) -> list[str]:
        """Return the interface's IPv6 addresses of a scope once so many of them are usable.

        Unique local addresses have the scope ``global``, too.
        """
        patience = Patience(PATIENCE)
        while len(found := self._addresses(interface, scope)) < number:
            assert not patience.is_over(), f"{interface} of {self.name} has only {found}"
        return found

    def every_address(self, interface: str = "eth0") -> list[str]:
        """Return all addresses that the interface has, of IPv4 too."""
        shown = json.loads(self.run("ip", "-json", "address", "show", "dev", interface))
        return [str(info["local"]) for entry in shown for info in entry["addr_info"]]

    def _addresses(self, interface: str, scope: str) -> list[str]:
        shown = json.loads(self.run("ip", "-json", "-6", "address", "show", "dev", interface))
        return [
            str(address["local"])
            for entry in shown
            for address in entry.get("addr_info", [])
            if address["scope"] == scope and not address.get("tentative")
        ]


class Link(NamedTuple):
    """Two hosts on one cable."""

    server: Host
    client: Host
