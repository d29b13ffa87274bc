# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects of options on clients: one act for each option, in the order of the command line."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mandos.durations import DurationError, parse_duration
from mandos.errors import AdministratorError, MandosError, UsageError
from mandos.openpgp.secret_check import warning_about

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from mandos.admin.proxy import Client, ServerProxy

#: Largest secret that is read: the limit that a client accepts, docs/openpgp.md.
SECRET_LIMIT = 16 << 20
#: How many clients are worked on at the same time, so that the server can save many in one go.
_AT_ONCE = 100
_OLD_FORM = re.compile(r"\s*(?:[0-9]+[wdhms]\s*)+")


@dataclass(frozen=True, slots=True)
class SetProperty:
    """Give a property of each client a value."""

    option: str
    name: str
    value: Any

    async def perform(self, server: ServerProxy, client: Client) -> None:
        """Do it to one client."""
        await server.set(client, self.name, self.value)


@dataclass(frozen=True, slots=True)
class SetSecret:
    """Give each client the secret of a file, or of standard input for ``-``."""

    option: str
    file: str


@dataclass(frozen=True, slots=True)
class Decide:
    """Approve or deny the waiting request of each client."""

    option: str
    approve: bool

    async def perform(self, server: ServerProxy, client: Client) -> None:
        """Do it to one client."""
        await server.call(client, "Approve", self.approve)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove each client from the server."""

    option: str

    async def perform(self, server: ServerProxy, client: Client) -> None:
        """Do it to one client."""
        await server.remove(client)


ReadyAct = SetProperty | Decide | Remove
Act = ReadyAct | SetSecret


def read_duration(option: str, text: str) -> timedelta:
    """Read a duration of the command line: RFC 3339, ``5m 30s``, or ``5m30s``.

    Raises UsageError; the reference takes anything here, and ``x`` for no time at all.
    """
    try:
        if _OLD_FORM.fullmatch(text):
            return parse_duration(re.sub(r"(?<=[wdhms])(?=[0-9])", " ", text))
        return parse_duration(text)
    except DurationError as error:
        raise UsageError(f"{option}: {error}", error.hint) from error


def read_text(option: str, text: str) -> str:
    """Read a text of the command line; raises UsageError when the bus cannot carry it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option}: the text is not UTF-8") from None
    return text


def make_ready(acts: Sequence[Act], warn: Callable[[str], None]) -> list[ReadyAct]:
    """The acts with their files read; removing comes last.

    Raises AdministratorError when a file cannot be read; warns of secrets that cannot be right.
    """
    ready = [_with_secret(act, warn) if isinstance(act, SetSecret) else act for act in acts]
    return sorted(ready, key=lambda act: isinstance(act, Remove))


def _with_secret(act: SetSecret, warn: Callable[[str], None]) -> SetProperty:
    secret = read_bounded(act.file)
    doubt = warning_about(secret)
    if doubt:
        where = "standard input" if act.file == "-" else act.file
        warn(f"warning: {where}: {doubt}")
    return SetProperty(act.option, "Secret", secret)


def read_bounded(file: str) -> bytes:
    """The bytes of a file, or of standard input for ``-``; raises AdministratorError."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(SECRET_LIMIT + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(SECRET_LIMIT + 1)
    except OSError as error:
        raise AdministratorError(f"cannot read {file}: {error.strerror}") from error
    if len(data) > SECRET_LIMIT:
        raise AdministratorError(f"{file} is larger than {SECRET_LIMIT >> 20} MiB")
    return data


async def perform(server: ServerProxy, clients: Sequence[Client], acts: Sequence[ReadyAct]) -> None:
    """Do all acts to all clients, each act to all of them before the next.

    A client for which an act fails is left alone after that; raises FailedError at the end.
    """
    failed: dict[str, MandosError] = {}
    for act in acts:
        waiting = iter([client for client in clients if client.path not in failed])
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(clients))):
                group.create_task(_work(server, act, waiting, failed))
    if failed:
        raise FailedError(list(failed.values()))


async def _work(
    server: ServerProxy, act: ReadyAct, waiting: Iterator[Client], failed: dict[str, MandosError]
) -> None:
    for client in waiting:
        try:
            await act.perform(server, client)
        except MandosError as error:
            failed[client.path] = error


class FailedError(MandosError):
    """Acts failed; the exit status is the first failure's."""

    def __init__(self, errors: Sequence[MandosError]) -> None:
        lines = dict.fromkeys(line for error in errors for line in str(error).splitlines())
        super().__init__("\n".join(lines), errors[0].hint)
        self.exit_code = errors[0].exit_code
