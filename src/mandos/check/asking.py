# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every server for the password, with the client of the image, and tries it on the disks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mandos.check import disks, rehearsal
from mandos.check.findings import Finding, Link, Verdict
from mandos.errors import MachineError
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mandos.check.disks import CryptDisk
    from mandos.check.servers import Server

#: Seconds that a server has to give the password.
FETCH_TIME = 15.0


class Image(NamedTuple):
    """An unpacked image that can run programs: its kernel's name, tree, and client's options."""

    name: str
    tree: Path
    options: Sequence[str]


class _Answer(NamedTuple):
    """What one server brought: findings, and whether its password opens all disks."""

    good: bool
    findings: list[Finding]


def ask_all(
    image: Image, servers: Sequence[Server], table: Sequence[CryptDisk]
) -> Iterator[Finding]:
    """Ask each server.  One that opens every disk is enough; then the others are warnings."""
    answers = [_ask(image, server, table) for server in servers]
    enough = any(answer.good for answer in answers)
    for answer in answers:
        for finding in answer.findings:
            if enough and finding.verdict is Verdict.BROKEN:
                meaning = "another server gives the password; alone this one could not"
                yield finding._replace(verdict=Verdict.WARNING, meaning=meaning)
            else:
                yield finding


def _ask(image: Image, server: Server, table: Sequence[CryptDisk]) -> _Answer:
    try:
        outcome = rehearsal.fetch(
            image.tree, image.options, server.way, grammar.GREETING, FETCH_TIME
        )
    except MachineError as error:
        return _Answer(good=False, findings=[Finding(
            Link.PROGRAMS, Verdict.BROKEN, str(error), image.name,
            "the client does not start at boot either",
            f"run update-initramfs -u -k {image.name}, or dracut --force --kver {image.name}",
        )])  # fmt: skip
    if outcome.unreachable:
        return _failed(image, f"{server.title}: {outcome.unreachable}",
                       "look whether mandos runs on the server")  # fmt: skip
    if not outcome.password:
        said = outcome.said.strip().splitlines()
        why = said[0] if said else "the client brought nothing and said nothing"
        return _failed(image, f"{server.title} gave no password: {why}",
                       "run mandos-ctl --why on the server")  # fmt: skip
    text = f"{server.title} gave the password in {outcome.seconds:.1f} s"
    found = [Finding(Link.SERVER, Verdict.OK, text, image.name)]
    found += [
        _tried(image, server, disk, device, outcome.password)
        for disk in table
        if disk.asks and (device := disks.device_of(disk.source)) is not None
    ]
    return _Answer(all(finding.verdict is Verdict.OK for finding in found), found)


def _failed(image: Image, text: str, cure: str) -> _Answer:
    meaning = "the next boot gets no password from this server"
    finding = Finding(Link.SERVER, Verdict.BROKEN, text, image.name, meaning, cure)
    return _Answer(good=False, findings=[finding])


def _tried(image: Image, server: Server, disk: CryptDisk, device: Path, password: bytes) -> Finding:
    try:
        opened = disks.opens(device, password)
    except MachineError as error:
        text = f"{disk.name} could not be tried: {error}"
        return Finding(Link.SECRET, Verdict.NOT_SURE, text, image.name)
    if opened:
        text = f"the password from {server.title} opens {disk.name}"
        return Finding(Link.SECRET, Verdict.OK, text, image.name)
    return Finding(
        Link.SECRET, Verdict.BROKEN,
        f"the password from {server.title} does not open {disk.name}", image.name,
        "the disk stays closed until the right password is typed",
        "run mandos-keygen --password with the right one, and put the section on the server",
    )  # fmt: skip
