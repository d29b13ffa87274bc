# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the clients' configuration again while the server runs: all of it, or nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mandos.errors import MachineError, MandosError
from mandos.server.config.clients_conf import load_clients

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Protocol

    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.requests.judge import Trail

    class Ended(Protocol):
        """A function that hears the result of a reload."""

        def __call__(self, *, well: bool) -> None:
            """Hear the result; ``well``: the files' settings are in force."""


log = logging.getLogger(__name__)


class Reloader:
    """Makes a registry agree with the files; requests that come meanwhile are served."""

    def __init__(self, configdir: Path, registry: Registry, clock: Clock, trail: Trail) -> None:
        self._configdir = configdir
        self._registry = registry
        self._clock = clock
        self._trail = trail
        self._turn = asyncio.Lock()
        self.on_end: Ended = _nothing

    async def reload(self) -> None:
        """Read the files, put their settings in force, and save them.

        Raises MachineError when the disk fails: then the settings are in force, but not saved.
        Raises another MandosError when the files cannot be read: then nothing has changed.  Calls
        ``on_end`` with the result.
        """
        try:
            await self._reload()
        except MandosError as error:
            self.on_end(well=isinstance(error, MachineError))
            raise
        self.on_end(well=True)

    async def _reload(self) -> None:
        async with self._turn:
            configured = await asyncio.to_thread(load_clients, self._configdir)
            before = {client.name for client in self._registry}
            self._registry.configure(configured, self._clock.now())
            try:
                await self._trail.durable()
            except MachineError as error:
                text = f"the new configuration is in force, but not saved: {error}"
                raise MachineError(text, error.hint) from error
            after = {client.name for client in self._registry}
            log.info(
                "configuration read again: %d clients, %d added, %d removed",
                *(len(after), len(after - before), len(before - after)),
            )

    async def try_to_reload(self) -> MandosError | None:
        """Reload, and log each problem; returns the error, or None when all is well."""
        try:
            await self.reload()
        except MandosError as error:
            if not isinstance(error, MachineError):
                log.error("reload failed; the old configuration stays in force")  # noqa: TRY400 - the lines follow
            for line in error.lines():
                log.error("%s", line)  # noqa: TRY400 - the same
            return error
        return None


def _nothing(*, well: bool) -> None:
    """Default for ``on_end``."""
