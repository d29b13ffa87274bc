# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announces the server: by Avahi while Avahi runs, else by ourselves.

:class:`Announcer` follows the system bus: Avahi may be restarted, stopped, or start after us, and
the bus itself may be missing.  Failed steps are logged and tried again; the server goes on.
"""

from __future__ import annotations

import asyncio
import codecs
import importlib
import logging
import re
from typing import TYPE_CHECKING

from mandos.discovery.announce_avahi import Avahi
from mandos.discovery.announce_embedded import Embedded, report_failure
from mandos.discovery.messages import MAX_LABEL
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.discovery.announcement import Announcement

log = logging.getLogger(__name__)

#: Seconds until a missing bus, or a failed announcement, is tried again.
RETRY = 10.0
#: Seconds that Avahi may take for a restart before the announcement is made without it.
GRACE = 5.0


def load() -> None:
    """Import the libraries, which a server that has given up root may be unable to read."""
    for name in ("dbus_fast.aio", "zeroconf.asyncio"):
        importlib.import_module(name)
    for encoding in ("ascii", "idna", "latin-1"):
        codecs.lookup(encoding)


def alternative_name(name: str) -> str:
    """Return the name to try next when ``name`` is taken: ``Mandos #2``, ``Mandos #3``, …."""
    match = re.fullmatch(r"(.*) #([1-9][0-9]{0,8})", name, re.DOTALL)
    stem, number = (match[1], int(match[2]) + 1) if match else (name, 2)
    suffix = f" #{number}"
    room = MAX_LABEL - len(suffix)
    return stem.encode()[:room].decode(errors="ignore") + suffix


class Announcer:
    """Keeps one announcement in force from :meth:`start` to :meth:`stop`.

    ``on_name`` is called with the name in force when the announcement is made, and again after each
    change or renewal.  Every such event is logged here.
    """

    def __init__(
        self, announcement: Announcement, on_name: Callable[[str], object] = lambda _name: None
    ) -> None:
        self._announcement = announcement
        self._name = announcement.name
        self._on_name = on_name
        self._embedded = Embedded(announcement, self._established, self._taken)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to announce in the background."""
        self._task = asyncio.create_task(self._run(), name="announcer")
        self._task.add_done_callback(report_failure)

    def look_again(self) -> None:
        """The interfaces, or their addresses, have changed: do not wait to find out."""
        self._embedded.look_again()

    async def stop(self) -> None:
        """Take the announcement back; harmless when not started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        try:
            while True:
                try:
                    async with Avahi() as avahi:
                        await self._follow(avahi)
                except MachineError as error:
                    log.debug("announcing without Avahi: %s", error)
                self._embedded.start(self._name)
                await asyncio.sleep(RETRY)
        finally:
            await self._embedded.stop()

    async def _follow(self, avahi: Avahi) -> None:
        """Announce by Avahi or by ourselves, until the bus goes away."""
        seen = False
        while True:
            if avahi.present:
                seen = True
                await self._embedded.stop()
                patience = await self._by_avahi(avahi)
            elif seen:  # it may just be restarting
                seen, patience = False, GRACE
            else:
                self._embedded.start(self._name)
                patience = None
            await avahi.wait(patience)

    async def _by_avahi(self, avahi: Avahi) -> float | None:
        """Publish or rename as Avahi's state requires; return the seconds until the next look."""
        try:
            if avahi.taken:
                await avahi.withdraw()
                self._taken()
            if await avahi.publish(self._announcement, self._name):
                self._established(self._name, "Avahi")
        except MachineError as error:
            log.warning("cannot announce by Avahi, will try again: %s", error)
            return RETRY
        return None

    def _taken(self) -> str:
        """Choose another name, since ours is in use on the link; return it."""
        taken, self._name = self._name, alternative_name(self._name)
        log.warning(
            "another server on this network has the service name %r, trying %r", taken, self._name
        )
        return self._name

    def _established(self, name: str, by: str) -> None:
        log.info("announced as %r by %s, port %d", name, by, self._announcement.port)
        self._on_name(name)
