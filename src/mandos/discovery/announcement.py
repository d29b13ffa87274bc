# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The announcement of a server, as a value that each way of announcing takes."""

from __future__ import annotations

from dataclasses import dataclass

from mandos.wire import grammar


@dataclass(frozen=True)
class Announcement:
    """The service to announce, its interfaces (indexes; none means all) and address families."""

    port: int
    name: str = grammar.SERVICE_NAME
    interfaces: tuple[int, ...] = ()
    ipv6: bool = True
    ipv4: bool = False
    service_type: str = grammar.SERVICE_TYPE
