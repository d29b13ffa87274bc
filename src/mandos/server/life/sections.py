# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports differences between the sections of one server's files and the settings in force.

They matter only where several servers share their state.  No setting's value is in the words, since
a secret is one of them.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.server.life.client import differences
from mandos.wire import key_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mandos.client_settings import ClientSettings

#: The advice that belongs to the lines of ``differing``, and of ``doubled``.
MEND_DIFFERENCE = "change the section, which then wins, or make it agree"
MEND_KEY = "give each client a key of its own, or remove the sections that are wrong"


def differing(pairs: Iterable[tuple[ClientSettings, ClientSettings]]) -> Iterator[str]:
    """Yield a line for each client whose section differs from its settings in force.

    ``pairs`` are a client's section in the files of this server, and its settings in force.
    """
    for section, in_force in pairs:
        if names := differences(section, in_force):
            yield (
                f"the section of client {section.name} here differs from the settings in force"
                f" ({', '.join(names)}), which stay"
            )


def doubled(in_force: Iterable[ClientSettings]) -> Iterator[str]:
    """Yield a line for each key that several clients have."""
    names: dict[str, list[str]] = {}
    for settings in in_force:
        if settings.key_id not in {"", key_id.OF_NOTHING}:
            names.setdefault(settings.key_id, []).append(settings.name)
    for found in names.values():
        if len(found) > 1:
            yield (
                f"clients have the same key: {', '.join(sorted(found))}: while one of them is"
                " disabled, none gets its secret"
            )
