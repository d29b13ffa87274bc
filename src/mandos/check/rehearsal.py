# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the client program of an unpacked image against one server, as the next boot would.

The client gets a network of its own, and a relay carries its connection to the server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from mandos.check.confined import Confined
from mandos.check.relay import Relay
from mandos.client.notices import is_notice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mandos.check.relay import Address

#: Where images have the client, and where an image's programs look for others.
CLIENT = "/lib/mandos/plugins.d/mandos-client"
#: Largest output that is read of the client, in bytes: passwords have 2048 at most.
_LIMIT = 1 << 16
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
        with contextlib.ExitStack() as stack:
            self._errors = stack.enter_context(tempfile.TemporaryFile(dir=tree.parent))
            # The password is never in a file: a pipe holds all that the client may print.
            self._output, output = os.pipe()
            stack.callback(os.close, self._output)
            written = stack.enter_context(os.fdopen(output, "wb", buffering=0))

            def command() -> list[str]:
                self.listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                port = self.listening.getsockname()[1]
                ours = (f"--connect=127.0.0.1:{port}", "--network-hook-dir=/nonexistent")
                return [CLIENT, *options, *ours, "--delay=0"]

            errors = self._errors.fileno()
            program = Confined(tree, command, output=output, errors=errors)
            self._program = stack.enter_context(program)
            written.close()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_through(self) -> bool:
        """Whether the client has ended, or has reported that it would try again."""
        if self._program.is_over:
            return True
        said = os.pread(self._errors.fileno(), _LIMIT, 0)
        return any(is_notice(line) for line in said.decode(errors="replace").splitlines())

    @property
    def output(self) -> tuple[bytes, str]:
        """The password, and what the client said; it must have ended."""
        self._errors.seek(0)
        said = self._errors.read(_LIMIT).decode(errors="replace")
        os.set_blocking(self._output, False)
        with os.fdopen(os.dup(self._output), "rb") as output:
            return output.read(_LIMIT) or b"", said

    def end(self) -> None:
        """End the client and its children, and return when they are gone."""
        self._program.end()


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
