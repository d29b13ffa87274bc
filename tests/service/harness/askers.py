# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks for a password on a host: systemd's own program, or a socket that a test holds.

And password agents of either family to answer, with a client that is a line of shell.
"""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING, Self

from harness.patience import Patience
from harness.process import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from harness.families import Family
    from harness.host import Host
    from harness.process import Process

QUESTIONS = "/run/systemd/ask-password"
#: A client that says on standard error that it ran, and prints what is in a file.
CLIENT = "#!/bin/sh\necho fetching >&2\ncat /run/password\n"

_numbers = itertools.count()


def ask(host: Host, subject: str, *options: str) -> Process:
    """Start a real asker; return when its question can be seen, or was answered already."""
    before = questions(host)
    asker = host.start(
        *("systemd-ask-password", "--no-tty", "--timeout=0", "-n", f"--id={subject}"),
        *(*options, f"Password of {subject}"),
    )
    patience = Patience(PATIENCE)
    while questions(host) <= before and asker.running:
        assert not patience.is_over(), "no question"
    return asker


def questions(host: Host) -> set[str]:
    """Return the names of the question files that are there."""
    directory = host.path(QUESTIONS)
    return {path.name for path in directory.iterdir() if path.name.startswith("ask.")}


class Asker:
    """A question of the test's own making: its file and its socket, below a directory."""

    def __init__(self, directory: Path, seen_as: str | None = None) -> None:
        self.number = next(_numbers)
        self.directory = directory
        self.file = directory / f"ask.{self.number}"
        self.address = directory / f"sck.{self.number}"
        self._seen_as = f"{seen_as or directory}/sck.{self.number}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def listen(self) -> Self:
        """Let answers arrive."""
        self.socket.bind(str(self.address))
        return self

    def ask(self, *, pid: int = 1, not_after: int = 0, subject: str = "") -> Self:
        """Put the question there, whole at once as systemd does."""
        text = (
            f"[Ask]\nPID={pid}\nSocket={self._seen_as}\nAcceptCached=0\nEcho=0\n"
            f"NotAfter={not_after}\nMessage=question {self.number}\nId={subject}\n"
        )
        made = self.directory / f"tmp.{self.number}"
        made.write_text(text, encoding="ascii")
        made.rename(self.file)
        return self

    def answer(self) -> bytes:
        """Return the next answer."""
        return self.socket.recv(1 << 17)

    def unanswered(self) -> bool:
        """Whether nothing has arrived so far."""
        self.socket.setblocking(False)  # noqa: FBT003 - the name says it
        try:
            self.socket.recv(1 << 17)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False


def start_agent(host: Host, family: Family, *arguments: str) -> Process:
    """Start a password agent with the client that prints /run/password, or with ``arguments``."""
    if not any(argument == "--" for argument in arguments):
        install_client(host, CLIENT)
        arguments = (*arguments, "--", "/run/client")
    return host.start(family.agent, *arguments)


def install_client(host: Host, script: str) -> None:
    """Make a script the client that start_agent starts."""
    host.path("/run/client").write_text(script, encoding="ascii")
    host.path("/run/client").chmod(0o755)
