# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-ctl: carries out the command line; manual page mandos-ctl(8)."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mandos.admin import client
from mandos.admin.ctl import acts, command_line, explain, screen, table
from mandos.admin.ctl.command_line import Command, Mode
from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from mandos.admin.ctl.columns import Medium
    from mandos.admin.ctl.watch import Line
    from mandos.admin.proxy import ServerProxy

_NOT_ENABLED = 1
_SERVERS_IN_TROUBLE = 1
_EX_INTERRUPTED = 130
_EX_PIPE = 141
#: How many records --why looks through for a client's last request.
_RECORDS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mandos-ctl; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a real stream
    try:
        status = _run(command_line.parse(arguments))
        sys.stdout.flush()
    except MandosError as error:
        for line in error.lines():
            _say(line)
        return error.exit_code
    except KeyboardInterrupt:
        return _EX_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush
        return _EX_PIPE
    return status


def _run(command: Command) -> int:
    if command.mode is Mode.COMPLETION:
        from mandos.admin.ctl.completion import script  # noqa: PLC0415 - for this alone

        _print([script(command.argument)])
        return 0
    if command.debug:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("mandos").setLevel(logging.DEBUG)
    logging.getLogger("dbus_fast").setLevel(logging.CRITICAL + 1)  # errors reach us as exceptions
    return asyncio.run(_DO[command.mode](command))


def _connect() -> AbstractAsyncContextManager[ServerProxy]:
    from mandos.admin.proxy import ServerProxy  # noqa: PLC0415 - not for --help or a wrong option

    return ServerProxy.connect()


async def _wanted(server: ServerProxy, command: Command) -> list[client.Client]:
    """The clients that are named, or all."""
    known = await server.clients()
    return client.find_clients(known, command.names) if command.names else known


async def _list(command: Command) -> int:
    async with _connect() as server:
        clients = await _wanted(server, command)
        problems = (await server.sharing()).problems()
    for problem in problems:
        _say(f"warning: {problem}")
    if command.json:
        _print([table.dump(clients)])
    elif not sys.stdout.isatty():
        columns = table.verbose(clients) if command.verbose else table.SHORT
        sys.stdout.write(table.table(clients, columns))
    else:
        show = screen.details if command.verbose else screen.summary
        _print(show(clients, datetime.now(UTC), screen.medium()))
    return 0


async def _act(command: Command) -> int:
    ready = acts.make_ready(command.acts, _say)
    async with _connect() as server:
        await acts.perform(server, await _wanted(server, command), ready)
    return 0


async def _servers(command: Command) -> int:
    from mandos.admin.ctl import servers  # noqa: PLC0415 - for this mode alone

    async with _connect() as server:
        sharing = await server.sharing()
    show = servers.show(sharing, datetime.now(UTC), screen.medium())
    _print([servers.dump(sharing)] if command.json else show)
    return _SERVERS_IN_TROUBLE if sharing.problems() else 0


async def _is_enabled(command: Command) -> int:
    async with _connect() as server:
        (one,) = await _wanted(server, command)
    return 0 if one.enabled else _NOT_ENABLED


async def _why(command: Command) -> int:
    async with _connect() as server:
        clients = await _wanted(server, command)
        ours = await server.extended()
        for one in clients:
            records = await server.records(one.name, _RECORDS) if ours else []
            _print([explain.why(one, datetime.now(UTC), ours=ours, records=records)])
    return 0


async def _log(command: Command) -> int:
    from mandos.admin.ctl import log  # noqa: PLC0415 - for this mode alone

    async with _connect() as server:
        records = await log.fetch(server, command.names, command.lines)
        told = {record.client for record in records}
        if silent := [name for name in command.names if name not in told]:
            client.find_clients(
                await server.clients(), silent
            )  # a name that never was is a mistake
    _print([log.dump(records)] if command.json else log.show(records, screen.medium()))
    return 0


async def _watch(command: Command) -> int:
    from mandos.admin import signals  # noqa: PLC0415 - for this mode alone
    from mandos.admin.ctl import watch  # noqa: PLC0415
    from mandos.admin.proxy import ServerGoneError  # noqa: PLC0415

    watching = watch.SignalWatch(command.names, verbose=command.verbose)
    medium = screen.medium()
    async with _connect() as server, aclosing(server.events()) as events:
        async for event in events:
            if isinstance(event, signals.Listed):
                with suppress(ServerGoneError):  # the next call reports it
                    watching.records = await server.extended()
            now = datetime.now(UTC)
            if command.json:
                text = watching.as_object(event, now)
            else:
                text = _dated(watching.as_line(event), now, medium)
            if text is not None:
                _print([text])
                sys.stdout.flush()
    return 0


def _dated(line: Line | None, now: datetime, medium: Medium) -> str | None:
    if line is None:
        return None
    time = medium.paint(now.astimezone().strftime("%H:%M:%S"), "label")
    return f"{time} {medium.paint(line.text, line.grade.value if line.grade else '')}"


async def _add(command: Command) -> int:
    from mandos.admin.ctl import adding  # noqa: PLC0415 - for this mode alone

    sections = adding.read_sections(command.argument)
    async with _connect() as server:
        async for name in adding.add(server, sections):
            _print([name])
            sys.stdout.flush()
    return 0


async def _reload(_command: Command) -> int:
    async with _connect() as server:
        await server.reload()
    return 0


async def _check(_command: Command) -> int:
    async with _connect() as server:
        _print(["ok: the system bus can be reached"])
        number = len(await server.clients())
        _print([f"ok: the server answers, and has {number} clients"])
        if await server.extended():
            about = await server.properties()
            _print([f"ok: it is version {about.get('Version', 'unknown')}, with all that is ours"])
        else:
            what = "--add, --log, --reload, and why a client is disabled"
            _print([f"note: it is not ours, and does without {what}"])
    return 0


async def _names(_command: Command) -> int:
    """For completion: a name for each line; names that need more than one line are skipped."""
    async with _connect() as server:
        names = [one.name for one in await server.clients()]
    _print(name for name in names if name.isprintable())
    return 0


_DO: Mapping[Mode, Callable[[Command], Coroutine[None, None, int]]] = {
    Mode.LIST: _list,
    Mode.ACT: _act,
    Mode.IS_ENABLED: _is_enabled,
    Mode.WHY: _why,
    Mode.SERVERS: _servers,
    Mode.LOG: _log,
    Mode.WATCH: _watch,
    Mode.ADD: _add,
    Mode.RELOAD: _reload,
    Mode.CHECK: _check,
    Mode.NAMES: _names,
}


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _say(message: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"mandos-ctl: {message}\n")
    sys.stderr.flush()
