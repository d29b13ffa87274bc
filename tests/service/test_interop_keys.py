# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that our mandos-keygen makes by default, in the hands of the reference's clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness import newer
from harness.families import ours, reference
from harness.host import Host
from harness.keys import make_credentials, seal_with_gnupg
from harness.peers import fetch, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.host import Link
    from harness.keys import Credentials

pytestmark = pytest.mark.peer

PASSWORD = b"correct horse \x00\xff\n"


@pytest.fixture(scope="module")
def keys(_possible: None) -> Iterator[Credentials]:
    """A client's keys and section, made without an option that says of what."""
    with Host("workshop") as workshop:
        yield make_credentials(workshop, ours(), "curves", PASSWORD, kind=())


def test_gnupg_2_2_opens_what_is_sealed_for_new_keys(link: Link, keys: Credentials) -> None:
    """The reference's client of Debian 12 gets the password from our server."""
    with start_server(link.server, ours(), keys.section) as running:
        assert fetch(link.client, reference(), keys, connect=running.address) == PASSWORD


def test_gnupg_2_2_seals_for_new_keys(link: Link, keys: Credentials) -> None:
    """A secret that gpg itself has made for such keys opens with either client."""
    by_hand = keys.with_secret(seal_with_gnupg(keys, b"sealed by hand"))
    with start_server(link.server, ours(), by_hand.section) as running:
        for family in (ours(), reference()):
            got = fetch(link.client, family, by_hand, connect=running.address)
            assert got == b"sealed by hand"


@pytest.mark.slow
@pytest.mark.skipif(newer.why_not() is not None, reason=str(newer.why_not()))
def test_gnupg_2_4_opens_what_is_sealed_for_new_keys(link: Link, keys: Credentials) -> None:
    """The reference's client of Debian 13 gets the password from our server."""
    family = newer.client(link.client)
    with start_server(link.server, ours(), keys.section) as running:
        assert fetch(link.client, family, keys, connect=running.address) == PASSWORD
