# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every server for the password, with the client of the image, and tries it on the disks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from mandos.check import boot_time, disks, rehearsal, server_view, view_findings
from mandos.check.findings import Finding, Link, Verdict, renewal
from mandos.check.server_view import UnknownKeyError, UnknownRequestError
from mandos.errors import MachineError, MandosError
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mandos.boot.image.crypttab import CryptDisk
    from mandos.check.rehearsal import Outcome
    from mandos.check.servers import Server
    from mandos.key_source import KeySource

#: Seconds that a server has to give the password.
FETCH_TIME = 15.0
_PASSING = (Verdict.OK, Verdict.WARNING)
#: Seconds in which all servers are asked for the password: strangers on the link can announce many
#: slow ones.
ALL_TIME = 180.0
#: Servers that are asked for their view at the same time.
_AT_ONCE = 64
#: Characters of the client's last line that are shown.
_WORDS = 500
#: How the client reports a secret that is damaged, or for another key: mandos.openpgp.opening.
_CLOSED = "cannot decrypt the secret"


class Image(NamedTuple):
    """An unpacked image that can run programs.

    ``name`` is that of its kernel; ``options`` are the client's, ``priority`` that of its TLS,
    ``keys`` its keys.
    """

    name: str
    tree: Path
    options: Sequence[str]
    priority: str
    keys: KeySource


class _Answer(NamedTuple):
    """What one server brought: findings, and whether its password opens all disks."""

    good: bool
    findings: list[Finding]


class _Turn(NamedTuple):
    """A server that is to be asked for the password, for ``limit`` seconds at most.

    ``found`` are findings about it so far; ``unchecked`` says that it has never found this machine
    alive.
    """

    server: Server
    greeting: bytes
    found: list[Finding]
    limit: float
    unchecked: bool = False


class Asker:
    """Asks servers on behalf of one image.

    A server that knows no rehearsals counts each request as a boot: it is asked for the password
    only if ``count_as_boot`` says so.  ``served`` has the passwords that open every disk, by the
    server's title; ``unchecked`` has those of them that have never found this machine alive by the
    section of these keys; ``skipped`` has the servers for which no time was left.
    """

    def __init__(
        self,
        image: Image,
        table: Sequence[CryptDisk],
        *,
        count_as_boot: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._image = image
        self._table = table
        self._count_as_boot = count_as_boot
        #: The servers that have given a password for a rehearsal.
        self.rehearsed: list[Server] = []
        self.served: dict[str, bytes] = {}
        self.unchecked: list[str] = []
        self.skipped: list[str] = []

    def ask_all(self, servers: Sequence[Server]) -> Iterator[Finding]:
        """Ask each server.  One that opens every disk is enough; then the others are warnings.

        Strangers can announce many servers that hang or promise a long wait.  So all are asked for
        their view at the same time; then for the password one after the other, those that need the
        least time first, and second ones at an address after all first ones.
        """
        firsts = list(map(self._judged, servers, self._views(servers)))
        end = self._clock() + ALL_TIME
        answers: dict[int, _Answer] = {}
        for number in _in_turn(firsts):
            first = firsts[number]
            if isinstance(first, _Answer):
                answers[number] = first
            elif self._clock() < end:
                answers[number] = self._fetch(first)
            else:
                answers[number] = self._skip(first.server)
        enough = any(answer.good for answer in answers.values())
        for number in range(len(servers)):
            for finding in answers[number].findings:
                if enough and finding.verdict in (Verdict.BROKEN, Verdict.NOT_SURE):
                    meaning = "another server gives the password; alone this one could not"
                    yield finding._replace(verdict=Verdict.WARNING, meaning=meaning)
                else:
                    yield finding

    def _skip(self, server: Server) -> _Answer:
        self.skipped.append(server.title)
        text = f"{server.title} was not asked: the servers before it took {ALL_TIME:.0f} s"
        finding = Finding(Link.SERVER, Verdict.NOT_SURE, text, self._image.name)
        return _Answer(good=False, findings=[finding])

    def _views(self, servers: Sequence[Server]) -> list[dict[str, Any] | Exception]:
        """Each server's view of this machine, or the reason why there is none."""
        over = threading.Event()

        def view(server: Server) -> dict[str, Any] | Exception:
            try:
                return server_view.ask(server, self._image.keys, self._image.priority, over.is_set)
            except (MandosError, OSError) as error:
                return error

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                return list(pool.map(view, servers))
            finally:
                over.set()  # also when a signal ends us

    def _judged(self, server: Server, view: dict[str, Any] | Exception) -> _Turn | _Answer:
        """The answer, if it is known by now, or the turn of a server to give the password."""
        if isinstance(view, UnknownKeyError):
            return self._failed(
                f"{server.title}: {view}",
                "run mandos-keygen --password, and put the section on the server",
                Link.KEYS,
            )
        if isinstance(view, UnknownRequestError):
            return self._one_that_counts(server)
        if isinstance(view, Exception):
            return self._failed(
                f"{server.title}: {view}", "look whether mandos runs there, at this port"
            )
        first = view_findings.judged(server.title, view, self._image.name)
        if first.verdict not in _PASSING:
            return _Answer(good=False, findings=[first])
        times = boot_time.judged(server.title, view, self._image.name, boot_time.last_boot())
        limit = FETCH_TIME + view_findings.wait_for_approval(view)
        unchecked = view.get("last_check") is None
        return _Turn(server, grammar.REHEARSAL_GREETING, [first, *times], limit, unchecked)

    def _one_that_counts(self, server: Server) -> _Turn | _Answer:
        if self._count_as_boot:
            return _Turn(server, grammar.GREETING, [], FETCH_TIME)
        finding = Finding(
            Link.SERVER, Verdict.NOT_SURE,
            f"{server.title} knows no rehearsals: it is the original's, or an older one",
            self._image.name,
            "there a request for the password counts as a boot, and starts the extended timeout",
            "run mandos-check --count-as-boot, or bring the server up to date",
        )  # fmt: skip
        return _Answer(good=False, findings=[finding])

    def _fetch(self, turn: _Turn) -> _Answer:
        image, server, found = self._image, turn.server, turn.found
        try:
            outcome = rehearsal.fetch(
                image.tree, image.options, server.way, turn.greeting, turn.limit
            )
        except MachineError as error:
            finding = Finding(
                Link.PROGRAMS, Verdict.BROKEN, str(error), image.name,
                "the client does not start at boot either",
                renewal(image.name),
            )  # fmt: skip
            return _Answer(good=False, findings=[*found, finding])
        if outcome.unreachable or not outcome.password:
            return self._without_password(server, outcome, found)
        if turn.greeting == grammar.REHEARSAL_GREETING:
            self.rehearsed.append(server)
        text = f"{server.title} gave the password in {outcome.seconds:.1f} s"
        found.append(Finding(Link.SERVER, Verdict.OK, text, image.name))
        found += [
            self._tried(server, disk, device, outcome.password)
            for disk in self._table
            if disk.asks and (device := disks.device_of(disk.source)) is not None
        ]
        good = all(finding.verdict in _PASSING for finding in found)
        if good:
            self.served[server.title] = outcome.password
            if turn.unchecked:
                self.unchecked.append(server.title)
        return _Answer(good, found)

    def _without_password(self, server: Server, outcome: Outcome, found: list[Finding]) -> _Answer:
        """The link that is broken when the client has brought no password."""
        why = outcome.unreachable or _last_words(outcome.said)
        if not outcome.asked and not outcome.unreachable:
            finding = Finding(
                Link.PROGRAMS, Verdict.BROKEN, f"the image's client asks no server: {why}",
                self._image.name, "no Mandos server is asked at boot either",
                renewal(self._image.name),
            )  # fmt: skip
        elif _CLOSED in outcome.said:
            finding = Finding(
                Link.SECRET, Verdict.BROKEN,
                f"the image's keys do not decrypt the secret from {server.title}",
                self._image.name, "the next boot gets no password from this server",
                "run mandos-keygen --password, and put the section on the server",
            )  # fmt: skip
        else:
            return self._failed(
                f"{server.title} gave no password: {why}", "run mandos-ctl --why on the server"
            )
        return _Answer(good=False, findings=[*found, finding])

    def _failed(self, text: str, cure: str, cause: Link | None = None) -> _Answer:
        meaning = "the next boot gets no password from this server"
        finding = Finding(Link.SERVER, Verdict.BROKEN, text, self._image.name, meaning, cure, cause)
        return _Answer(good=False, findings=[finding])

    def _tried(self, server: Server, disk: CryptDisk, device: Path, password: bytes) -> Finding:
        try:
            opened = disks.opens(device, password)
        except MachineError as error:
            text = f"{disk.name} could not be tried: {error}"
            return Finding(Link.SECRET, Verdict.NOT_SURE, text, self._image.name)
        if opened:
            text = f"the password from {server.title} opens {disk.name}"
            return Finding(Link.SECRET, Verdict.OK, text, self._image.name)
        return Finding(
            Link.SECRET, Verdict.BROKEN,
            f"the password from {server.title} does not open {disk.name}", self._image.name,
            "the disk stays closed until the right password is typed",
            "run mandos-keygen --password with the right one, and put the section on the server",
        )  # fmt: skip


def _in_turn(firsts: Sequence[_Turn | _Answer]) -> list[int]:
    """The numbers of the servers in the order in which they are asked."""
    seen: Counter[str] = Counter()
    order = []
    for number, first in enumerate(firsts):
        place = (0, 0.0)
        if isinstance(first, _Turn):
            host = first.server.address[0]
            seen[host] += 1
            place = (seen[host], first.limit)
        order.append((place, number))
    return [number for _place, number in sorted(order)]


def _last_words(said: str) -> str:
    """The client's last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1][:_WORDS] if lines else "the client brought nothing and said nothing"
