# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference's client and server understand each other on our hosts: the harness is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.families import reference
from harness.peers import fetch, start_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.families import Family
    from harness.host import Link
    from harness.keys import Credentials

    Keys = Callable[[Family], Credentials]

pytestmark = pytest.mark.peer


def test_password_travels_by_connect(link: Link, keys_of: Keys) -> None:
    """With --connect the password arrives byte for byte."""
    keys = keys_of(reference())
    with start_server(link.server, reference(), keys.section) as server:
        got = fetch(link.client, reference(), keys, connect=server.address)
    assert got == keys.password


def test_password_travels_by_zeroconf(link: Link, keys_of: Keys) -> None:
    """A server announced by Avahi is found, and the password arrives byte for byte."""
    keys = keys_of(reference())
    with start_server(link.server, reference(), keys.section, zeroconf=True):
        got = fetch(link.client, reference(), keys)
    assert got == keys.password
