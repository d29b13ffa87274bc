# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the clients' configuration again while the server runs: all of it, or nothing."""

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
        """Hears how a reload ended."""

        def __call__(self, *, well: bool) -> None:
            """``well``: what the files say is in force."""


log = logging.getLogger(__name__)


class Reloader:
    """Brings a registry in line with the files; requests that come meanwhile are served."""

    def __init__(self, configdir: Path, registry: Registry, clock: Clock, trail: Trail) -> None:
        self._configdir = configdir
        self._registry = registry
        self._clock = clock
        self._trail = trail
        self._turn = asyncio.Lock()
        self.on_end: Ended = _nothing

    async def reload(self) -> None:
        """Read the files and take them over; what they say is in force and saved afterwards.

        Raises MandosError, with nothing changed, when they cannot be read; or with all in force
        but nothing saved, when the disk fails.  ``on_end`` is told how it went.
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
        """The same, with a log line for each problem; returns the error, None when all is well."""
        try:
            await self.reload()
        except MandosError as error:
            if not isinstance(error, MachineError):
                log.error("reload failed; the old configuration stays in force")  # noqa: TRY400 - told below
            for line in error.lines():
                log.error("%s", line)  # noqa: TRY400 - the same
            return error
        return None


def _nothing(*, well: bool) -> None:
    """Default for ``on_end``."""
