# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients for a running server from a file of sections, as mandos-keygen prints them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mandos.admin.ctl.acts import read_bounded
from mandos.errors import AdministratorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mandos.admin.proxy import ServerProxy

_HEADER = re.compile(r"\[(.+)\]")
_EMPTY = re.compile(r"\s*(?:[#;].*)?")


class Section(NamedTuple):
    """A section's name and its whole text."""

    name: str
    text: str


def read_sections(file: str) -> list[Section]:
    """The sections of a file, or of standard input for ``-``; raises AdministratorError."""
    where = "standard input" if file == "-" else file
    try:
        text = read_bounded(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AdministratorError(f"{where} is no text in UTF-8") from error
    if "\0" in text:
        raise AdministratorError(f"{where} is no text: it has null bytes")
    return split_sections(text, where)


def split_sections(text: str, where: str) -> list[Section]:
    """The sections of a text; raises AdministratorError for anything else before the first."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            sections.append(Section(header[1], ""))
        elif not sections and not _EMPTY.fullmatch(line):
            raise AdministratorError(
                f"{where}: line {number}: a section must come first: [NAME]",
                "mandos-keygen --password prints one, on the client",
            )
        if sections:
            sections[-1] = Section(sections[-1].name, f"{sections[-1].text}{line}\n")
    if not sections:
        raise AdministratorError(
            f"{where} has no section", "mandos-keygen --password prints one, on the client"
        )
    if any(section.name == "DEFAULT" for section in sections):
        raise AdministratorError(
            f"{where}: [DEFAULT] cannot be added, only clients can",
            "write defaults into clients.conf, then mandos-ctl --reload",
        )
    return sections


async def add(server: ServerProxy, sections: list[Section]) -> AsyncIterator[str]:
    """Add one client after the other; yields the name of each that is there."""
    for section in sections:
        path = await server.add(section.text)
        yield (await server.client_at(path)).name
