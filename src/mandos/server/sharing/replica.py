# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This server's clients, as a copy of those in the database that several servers share.

Needs an event loop, in which all methods are called.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mandos.server.life.merge import merge, merge_settings
from mandos.server.sharing.members import watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from mandos.server.life.client import Client
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.state.store import Changes, Known, Outcome

log = logging.getLogger(__name__)


class Replica:
    """The clients of ``registry``; ``known`` are those in the database, as last seen.

    ``own`` is this server's name.  ``alone`` are clients that it changed without
    the others.  Each client is watched by one of ``watching``.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        known: Mapping[str, Known],
        own: str,
        alone: Collection[str] = (),
    ) -> None:
        self._registry = registry
        registry.shared = True
        self._clock = clock
        self._known = dict(known)
        self._own = own
        self._following = False
        self._waiting: set[str] = set()
        self._alone = set(alone)
        #: Called with the name of a client that has to be written again.
        self.on_lost: Callable[[str], object] = str
        self.watching: list[str] = []

    @property
    def following(self) -> bool:
        """Whether the events of this moment come from changes that other servers made."""
        return self._following

    def versions(self) -> dict[str, tuple[int, int]]:
        """The versions of all clients, of settings and of lives."""
        return {name: (one.version, one.life_version) for name, one in self._known.items()}

    def bases(self, names: Collection[str]) -> dict[str, Known]:
        """Return these clients as the servers know them in common."""
        return {name: self._known[name] for name in names if name in self._known}

    def written(self, changes: Changes, outcome: Outcome) -> None:
        """Take over what became of this server's changes."""
        self._alone -= {*changes.lives, *changes.settings}
        for name, now in outcome.clients.items():
            sent = changes.lives.get(name)
            base = None
            if now is not None and sent is not None:
                kept = changes.settings.get(name)
                base = now._replace(life=sent, settings=kept.settings if kept else now.settings)
            self._take(name, base, now)
        for name in changes.removed - changes.settings.keys():
            self._known.pop(name, None)

    def alone(self, changes: Changes) -> None:
        """Note that these changes are only this server's for now: the database is unreachable.

        When both sides have switched a client meanwhile, the side that disabled it wins.
        """
        self._alone.update(changes.lives, changes.settings)

    def changed(self, clients: Mapping[str, Known | None], *, anew: bool = False) -> None:
        """Take over what other servers have changed.

        ``anew``: all clients were compared after a time without news.  A client that is older in
        the database than here then shows that the database has lost changes, as after the restore
        of a backup: what this server knows is written to it again.
        """
        for name, now in clients.items():
            known = self._known.get(name)
            if anew and now is not None and known is not None and _older(now, known):
                self._known[name] = now
                self.on_lost(name)
            else:
                self._take(name, known, now)

    def _take(self, name: str, base: Known | None, now: Known | None) -> None:
        """Make the local client agree; ``base`` is the client from which the local one began."""
        known = self._known.get(name)
        if now is None:
            self._known.pop(name, None)
        else:
            now = self._known[name] = _newest(known, now)
        with self._quietly():
            self._follow(name, base, now)

    def _follow(self, name: str, base: Known | None, now: Known | None) -> None:
        moment = self._clock.now()
        client = self._registry.named(name)
        if now is None:
            if client is not None:
                self._registry.remove(name, moment)
            return
        if not now.present:
            # A client whose section has just come back here is about to be present.
            if client is not None and client.added:
                self._registry.remove(name, moment)
            return
        if client is None:
            client = self._registry.follow(name, now.settings, now.life, moment)
            self._share_out(client)
        before = base or now
        settings = merge_settings(before.settings, client.settings, now.settings)
        self._registry.follow_settings(client, settings, moment)
        alone = name in self._alone
        life = merge(before.life, client.life, now.life, moment, disabling_wins=alone)
        if life != client.life:
            client.follow(life, moment)
        if now.verdict is not None and (base is None or base.verdict != now.verdict):
            client.heed(moment, now.verdict.until, approved=now.verdict.approved)

    def wait_elsewhere(self, names: set[str]) -> None:
        """Note the clients with requests that wait at other servers."""
        moment = self._clock.now()
        changed, self._waiting = names ^ self._waiting, names
        with self._quietly():
            for name in changed:
                if client := self._registry.named(name):
                    client.follow(client.life, moment, waits=name in names)

    def left_alone(self) -> set[str]:
        """Return the names of clients that this server changed without the others."""
        return set(self._alone)

    def share_out(self, watching: Iterable[str]) -> None:
        """Watch the clients that belong to this server among these, and leave the others."""
        self.watching = list(watching)
        for client in self._registry:
            self._share_out(client)

    def _share_out(self, client: Client) -> None:
        moment = self._clock.now()
        server = watcher(client.name, self.watching)
        if server == self._own:
            client.watch(moment, server)
        else:
            client.leave(moment, server)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        before, self._following = self._following, True
        try:
            yield
        finally:
            self._following = before


def _older(one: Known, other: Known) -> bool:
    """Whether a part of the client is older in ``one``."""
    return one.version < other.version or one.life_version < other.life_version


def _newest(known: Known | None, now: Known) -> Known:
    """The client with the newer settings and the newer life: either may have come before."""
    if known is None:
        return now
    if now.version < known.version:
        now = now._replace(
            settings=known.settings, added=known.added, version=known.version, present=known.present
        )
    if now.life_version < known.life_version:
        now = now._replace(life=known.life, verdict=known.verdict, life_version=known.life_version)
    return now
