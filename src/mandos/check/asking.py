# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every server for the password, with the client of the image, and tries it on the disks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from mandos.check import boot_time, disks, rehearsal, server_view, view_findings
from mandos.check.findings import Finding, Link, Verdict, renewal
from mandos.check.server_view import UnknownKeyError, UnknownRequestError, UnreachedError
from mandos.errors import MachineError
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
#: Seconds in which all servers are asked: strangers on the link can announce many slow ones.
ALL_TIME = 180.0
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
        """Ask each server.  One that opens every disk is enough; then the others are warnings."""
        end = self._clock() + ALL_TIME
        answers = [
            self._ask(server) if self._clock() < end else self._skip(server) for server in servers
        ]
        enough = any(answer.good for answer in answers)
        for answer in answers:
            for finding in answer.findings:
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

    def _ask(self, server: Server) -> _Answer:
        try:
            view = server_view.ask(server, self._image.keys, self._image.priority)
        except (UnreachedError, OSError) as error:
            return self._failed(f"{server.title}: {error}", "look whether mandos runs there")
        except UnknownKeyError as error:
            return self._failed(
                f"{server.title}: {error}",
                "run mandos-keygen --password, and put the section on the server",
                Link.KEYS,
            )
        except UnknownRequestError:
            return self._ask_one_that_counts(server)
        first = view_findings.judged(server.title, view, self._image.name)
        if first.verdict not in _PASSING:
            return _Answer(good=False, findings=[first])
        times = boot_time.judged(server.title, view, self._image.name, boot_time.last_boot())
        limit = FETCH_TIME + view_findings.wait_for_approval(view)
        answer = self._fetch(server, grammar.REHEARSAL_GREETING, [first, *times], limit)
        if answer.good and view.get("last_check") is None:  # a stranger proves nothing by his word
            self.unchecked.append(server.title)
        return answer

    def _ask_one_that_counts(self, server: Server) -> _Answer:
        if self._count_as_boot:
            return self._fetch(server, grammar.GREETING, [])
        finding = Finding(
            Link.SERVER, Verdict.NOT_SURE,
            f"{server.title} knows no rehearsals: it is the original's, or an older one",
            self._image.name,
            "there a request for the password counts as a boot, and starts the extended timeout",
            "run mandos-check --count-as-boot, or bring the server up to date",
        )  # fmt: skip
        return _Answer(good=False, findings=[finding])

    def _fetch(
        self, server: Server, greeting: bytes, found: list[Finding], limit: float = FETCH_TIME
    ) -> _Answer:
        image = self._image
        try:
            outcome = rehearsal.fetch(image.tree, image.options, server.way, greeting, limit)
        except MachineError as error:
            finding = Finding(
                Link.PROGRAMS, Verdict.BROKEN, str(error), image.name,
                "the client does not start at boot either",
                renewal(image.name),
            )  # fmt: skip
            return _Answer(good=False, findings=[*found, finding])
        if outcome.unreachable or not outcome.password:
            return self._without_password(server, outcome, found)
        if greeting == grammar.REHEARSAL_GREETING:
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


def _last_words(said: str) -> str:
    """The client's last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1][:_WORDS] if lines else "the client brought nothing and said nothing"
