# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference's client and server understand each other on our hosts: the harness is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.families import reference
from harness.peers import fetch, start_server

if TYPE_CHECKING:
    from harness.host import Link
    from harness.keys import Credentials

pytestmark = pytest.mark.peer


def test_password_travels_by_connect(link: Link, reference_keys: Credentials) -> None:
    """With --connect the password arrives byte for byte."""
    with start_server(link.server, reference(), reference_keys.section) as server:
        got = fetch(link.client, reference(), reference_keys, connect=server.address)
    assert got == reference_keys.password


def test_password_travels_by_zeroconf(link: Link, reference_keys: Credentials) -> None:
    """A server announced by Avahi is found, and the password arrives byte for byte."""
    with start_server(link.server, reference(), reference_keys.section, zeroconf=True):
        got = fetch(link.client, reference(), reference_keys)
    assert got == reference_keys.password
