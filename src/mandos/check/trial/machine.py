# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine as a process: QEMU without rights, which ends with this process.

It runs as a user without rights, confined by seccomp, in a network that has one cable (see
``private_link``).  Its disks are files in memory.  Its memory, where the password will be, is never
dumped.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import time
from typing import TYPE_CHECKING, Self

from mandos import process
from mandos.check.trial import hardware
from mandos.check.trial.console import Console
from mandos.check.trial.private_link import TAP
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mandos.check.trial.hardware import Hardware
    from mandos.check.trial.private_link import PrivateLink

#: Names of the files in the machine's folder.
KERNEL, IMAGE, DISK = "kernel", "image", "disk{0}"
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_PIECE = 1 << 16
#: Seconds between two looks at the console.
_LOOK = 0.2
_PARENT_DEATH_SIGNAL = 1  # linux/prctl.h


def command(wants: Hardware, disks: int, words: Sequence[str], mac: str) -> list[str]:
    """QEMU's command line; all files have relative names."""
    accelerator = "kvm" if wants.accelerated else "tcg,thread=multi,tb-size=256"
    line = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"),
        *("-M", "pc,dump-guest-core=off", "-accel", accelerator),
        *("-cpu", "host" if wants.accelerated else "max"),
        *("-smp", str(wants.processors), "-m", str(wants.memory)),
        *("-display", "none", "-monitor", "none", "-sandbox", _SANDBOX),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-object", "rng-random,id=random,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=random"),
    ]
    for number in range(disks):
        file = f"id=d{number},if=none,format=raw,cache=unsafe,file={DISK.format(number)}"
        line += ["-drive", f"{file},werror=report,rerror=report"]
        line += ["-device", f"{wants.disk.format(number)},drive=d{number}"]
    line += ["-netdev", f"tap,id=cable,ifname={TAP},script=no,downscript=no"]
    line += ["-device", f"{wants.card},netdev=cable,mac={mac}"]
    return [*line, "-kernel", KERNEL, "-initrd", IMAGE, "-append", " ".join(words)]


class Machine:
    """A machine that has been switched on; the ``with`` statement switches it off."""

    def __init__(
        self, folder: Path, command: Sequence[str], link: PrivateLink, user: tuple[int, int]
    ) -> None:
        self.began = time.monotonic()
        self.console = Console()
        self._status: int | None = None
        self._reading, writing = os.pipe()
        try:
            self._child = link.do(
                lambda: process.launch(
                    command, standard=(None, writing, writing), prepare=_confinement(folder, user)
                )
            )
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is None:
            os.kill(self._child, signal.SIGKILL)  # it is not reaped yet, so the number is its own
            os.waitpid(self._child, 0)
        os.close(self._reading)

    def _require_success(self) -> None:
        """Reap QEMU, which has closed its console; raises MachineError with its last words."""
        self._status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        if self._status:
            said = "; ".join(self.console.last_lines(2))
            raise MachineError(f"QEMU ended with status {self._status}: {said}")

    @property
    def seconds(self) -> float:
        """Seconds since it was switched on."""
        return time.monotonic() - self.began

    def watch(self, over: Callable[[], bool]) -> bool:
        """Read the console until ``over()``, or until the machine has ended: False then.

        Raises MachineError if it ended since QEMU failed, not since the guest switched it off.
        """
        while not over():
            look = time.monotonic() + _LOOK
            while (left := look - time.monotonic()) > 0:
                if select.select([self._reading], [], [], left)[0]:
                    data = os.read(self._reading, _PIECE)
                    if not data:
                        self._require_success()
                        return over()
                    self.console.add(data)
        return True


def _confinement(folder: Path, user: tuple[int, int]) -> Callable[[], None]:
    """What the child does before it becomes QEMU."""
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()
    groups = hardware.kvm_groups()

    def confine() -> None:
        number, group = user
        os.chdir(folder)  # whose parents this user cannot enter
        os.setgroups(groups)
        os.setresgid(group, group, group)
        os.setresuid(number, number, number)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if library.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0) or os.getppid() != parent:
            raise OSError(ctypes.get_errno(), "the machine would outlive its check")

    return confine
