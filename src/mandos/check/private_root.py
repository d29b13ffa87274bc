# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place for unpacked images that only this process and its children see, gone when they end.

It is a tmpfs in a mount namespace of this process (mount_namespaces(7)), so the keys in an image
are never copied to a disk, and nothing is left even after SIGKILL.  Programs of an image run there
with the image as their root, in a PID namespace and in a network namespace whose only interface is
loopback, and without rights over the machine: whatever they do, the machine stays as it is.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import stat
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable

#: The mount point, an empty folder for everybody else.
FOLDER: Final = Path("/run/mandos-check")
_SIZE = "75%"  # of the machine's memory, as tmpfs(5) counts; swap may take it, like any memory
# From linux/sched.h, linux/mount.h, linux/if.h, linux/prctl.h and linux/capability.h.
_NEW_MOUNTS, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x20000000, 0x40000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8
_RECURSIVE, _SLAVE = 16384, 1 << 19
_DETACH = 2
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_DROP_FROM_BOUNDING_SET = 24
_INTERFACE = struct.Struct("16sh14x")  # struct ifreq: a name and flags
#: What the client needs to give root up; all other capabilities are taken from it.
_SET_GROUP, _SET_USER = 6, 7
_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
#: Device nodes that programs expect: null(4), full(4), random(4).
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
#: The children of each of our threads: proc_pid_task(5).
_CHILDREN = Path("/proc/self/task")
#: Seconds for the end of processes that were killed, and between two looks.
_PATIENCE, _LOOK = 5.0, 0.01

_library = ctypes.CDLL(None, use_errno=True)


def enter() -> Path:
    """Move this process, which must have one thread, to a mount namespace with an empty folder.

    Returns the folder, which only root can enter.  Raises MachineError.  Sets the file mode mask to
    that of a boot: below the folder the client, which gives root up, has to read files.
    """
    os.umask(0o022)
    try:
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        _call("unshare", _NEW_MOUNTS)
        _mount(None, Path("/"), flags=_RECURSIVE | _SLAVE)
        options = f"mode=0700,size={_SIZE}"
        _mount("tmpfs", FOLDER, kind="tmpfs", flags=_NO_SETUID, options=options)
    except OSError as error:
        raise MachineError(
            f"cannot make a private folder at {FOLDER}: {error.strerror}",
            "mandos-check needs root's rights, also where it runs in a container",
        ) from error
    return FOLDER


def leave() -> None:
    """End all processes that this one has started; a PID namespace goes with its first process."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        for children in _CHILDREN.glob("*/children"):
            for child in children.read_text(encoding="ascii").split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        time.sleep(_LOOK)


def furnish(tree: Path) -> None:
    """Give an unpacked image the devices of a booted one, and mount points."""
    devices = tree / "dev"
    for folder in (devices, tree / "proc", tree / "tmp", tree / "run"):
        folder.mkdir(exist_ok=True)
    _mount("tmpfs", devices, kind="tmpfs", flags=_NO_SETUID, options="mode=0755,size=64k")
    for name, (major, minor) in _DEVICES.items():
        node = devices / name
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        node.chmod(0o666)


def limited_folder(path: Path, size: int) -> None:
    """Make a folder in which all files together have at most ``size`` bytes; raises OSError."""
    path.mkdir(mode=0o700)
    options = f"mode=0700,size={size}"
    _mount("tmpfs", path, kind="tmpfs", flags=_NO_SETUID | _NO_DEVICES, options=options)


def release(path: Path) -> None:
    """Free the memory of a limited folder."""
    _call("umount2", os.fsencode(path), _DETACH)


def leave_the_network() -> None:
    """Give the calling thread, and what it starts, a network of its own with loopback alone."""
    _call("unshare", _NEW_NETWORK)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        asked = _INTERFACE.pack(b"lo", 0)
        _name, flags = _INTERFACE.unpack(fcntl.ioctl(sock, _GET_FLAGS, asked))
        fcntl.ioctl(sock, _SET_FLAGS, _INTERFACE.pack(b"lo", flags | _UP))


def leave_the_processes() -> None:
    """Give children of the calling thread a PID namespace; its first child is the first process."""
    _call("unshare", _NEW_PROCESSES)


def show_own_processes(tree: Path) -> None:
    """Mount the calling process's PID namespace on the image's /proc, in a new mount namespace."""
    _call("unshare", _NEW_MOUNTS)
    flags = _READ_ONLY | _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS
    _mount("proc", tree / "proc", kind="proc", flags=flags)


def confinement(tree: Path) -> Callable[[], None]:
    """What a child does before it becomes a program of the image; for ``process.launch``."""
    last = int(_LAST_CAPABILITY.read_text(encoding="ascii"))

    def confine() -> None:
        os.setpgid(0, 0)
        os.chroot(tree)
        os.chdir("/")
        for number in range(last + 1):
            if number not in (_SET_GROUP, _SET_USER):
                _call("prctl", _DROP_FROM_BOUNDING_SET, number, 0, 0, 0)

    return confine


def _mount(
    source: str | None, target: Path, *, kind: str = "", flags: int = 0, options: str = ""
) -> None:
    text = (source and source.encode(), os.fsencode(target), kind.encode() or None)
    _call("mount", *text, ctypes.c_ulong(flags), options.encode() or None)


def _call(name: str, *arguments: object) -> None:
    """Call a C function that returns 0; raises OSError."""
    if getattr(_library, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
