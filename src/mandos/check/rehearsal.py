# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the client program of an unpacked image against one server, as the next boot would.

The client gets a network of its own, and a relay carries its connection to the server.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from mandos import process
from mandos.check import private_root
from mandos.check.relay import Relay
from mandos.client.notices import is_notice
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mandos.check.relay import Address

#: Where images have the client, and where an image's programs look for others.
CLIENT = "/lib/mandos/plugins.d/mandos-client"
_ENVIRONMENT = {"PATH": "/bin:/sbin:/usr/bin:/usr/sbin", "LANG": "C"}
#: Largest output that is read of the client, in bytes: passwords have 2048 at most.
_LIMIT = 1 << 16
#: Seconds that the client has to end when it is asked to.
_PATIENCE = 2.0
#: Options of the client that a rehearsal replaces, since they say how a server is found.
_REPLACED = ("--connect", "-c", "--server", "--interface", "-i", "--network-hook-dir")


class Outcome(NamedTuple):
    """What the client brought: its password, if any, and all that it said."""

    password: bytes
    said: str
    #: Why the relay did not reach the server, if it did not.
    unreachable: str
    seconds: float
    #: Whether the client has begun a TLS connection to the server.
    asked: bool


def fetch(
    tree: Path, options: Sequence[str], server: tuple[int, Address], greeting: bytes, limit: float
) -> Outcome:
    """Let the client in ``tree`` ask this server (family, address), for ``limit`` seconds at most.

    ``options`` are the client's own, as the image's plugin-runner.conf has them.
    """
    began = time.monotonic()
    with _Client(tree, without_ways(options)) as client:
        relay = Relay(client.listening, *server, greeting)
        end = began + limit
        relay.run(lambda: bool(relay.failure) or time.monotonic() > end or client.is_through)
        client.end()
        password, said = client.output
    return Outcome(password, said, relay.failure, time.monotonic() - began, relay.used)


class _Client:
    """A client that runs in the image and in a network where only our listening socket is."""

    def __init__(self, tree: Path, options: Sequence[str]) -> None:
        self._stack = contextlib.ExitStack()
        self._output, self._errors = (self._file(tree.parent) for _ in range(2))
        self._ended = -1
        failure: list[Exception] = []

        def start() -> None:
            try:
                private_root.leave_the_network()
                self._start(tree, options)
            except (OSError, MachineError) as error:
                failure.append(error)

        thread = threading.Thread(target=start)  # one thread can leave the network for another one
        thread.start()
        thread.join()
        if failure:
            self._stack.close()
            raise MachineError(f"the image's client cannot be run: {failure[0]}")

    def _start(self, tree: Path, options: Sequence[str]) -> None:
        self.listening = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = self.listening.getsockname()[1]
        ours = (f"--connect=127.0.0.1:{port}", "--network-hook-dir=/nonexistent", "--delay=0")
        self._child = process.launch(
            [CLIENT, *options, *ours],
            env=_ENVIRONMENT,
            standard=(None, self._output.fileno(), self._errors.fileno()),
            prepare=private_root.confinement(tree),
        )
        self._ended = os.pidfd_open(self._child)
        self._stack.callback(self.end)

    def _file(self, folder: Path) -> IO[bytes]:
        return self._stack.enter_context(tempfile.TemporaryFile(dir=folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_through(self) -> bool:
        """Whether the client has ended, or has reported that it would try again."""
        if select.select([self._ended], [], [], 0)[0]:
            return True
        said = os.pread(self._errors.fileno(), _LIMIT, 0)
        return any(is_notice(line) for line in said.decode(errors="replace").splitlines())

    @property
    def output(self) -> tuple[bytes, str]:
        """The password, and what the client said."""
        for file in (self._output, self._errors):
            file.seek(0)
        said = self._errors.read(_LIMIT).decode(errors="replace")
        return self._output.read(_LIMIT), said

    def end(self) -> None:
        """End the client and what it started, and reap it; harmless when repeated."""
        if self._ended < 0:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child, number)
            if select.select([self._ended], [], [], _PATIENCE)[0]:
                break
        os.close(self._ended)
        self._ended = -1
        self._reap()

    def _reap(self) -> None:
        """Wait until the client's whole process group is gone: its half with root ends later."""
        end = time.monotonic() + _PATIENCE
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            while True:
                left, _status = os.waitpid(-self._child, os.WNOHANG)
                if left:
                    continue
                if time.monotonic() > end:
                    os.killpg(self._child, signal.SIGKILL)
                time.sleep(0.01)


def without_ways(options: Sequence[str]) -> list[str]:
    """The client's options, but for those that name servers and interfaces."""
    kept: list[str] = []
    skip = False
    for option in options:
        name, equals, _value = option.partition("=")
        if skip or name in _REPLACED:
            skip = not skip and not equals
            continue
        kept.append(option)
    return kept
