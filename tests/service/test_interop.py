# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ours and the reference's programs in each other's company: any piece can replace its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.families import ours, reference
from harness.keys import TLS_KEY_TYPES, seal_with_gnupg
from harness.peers import REFUSED, SENT, fetch, start_client, start_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.families import Family
    from harness.host import Link
    from harness.keys import Credentials

    Keys = Callable[[Family], Credentials]

pytestmark = pytest.mark.peer

OURS, THEIRS = ours(), reference()
#: Which family serves and which one asks.
MIXED = [
    pytest.param(OURS, THEIRS, id="our_server-their_client"),
    pytest.param(THEIRS, OURS, id="their_server-our_client"),
]
PAIRS = [*MIXED, pytest.param(OURS, OURS, id="our_server-our_client")]
KEYS = [pytest.param(OURS, id="our_keys"), pytest.param(THEIRS, id="their_keys")]
#: Everything that the default allows, without its profile for key sizes and with TLS 1.2.
LAX = "NORMAL:!CTYPE-X.509:+CTYPE-RAWPK:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%PROFILE_LOW"
#: TLS 1.2 alone, with the one key exchange that raw public keys can have there.
TLS12 = "NORMAL:!CTYPE-X.509:+CTYPE-RAWPK:!RSA:-VERS-ALL:+VERS-TLS1.2"


@pytest.mark.parametrize("maker", KEYS)
@pytest.mark.parametrize(("server", "client"), PAIRS)
def test_by_connect(
    link: Link, keys_of: Keys, server: Family, client: Family, maker: Family
) -> None:
    """With --connect any client gets the password from any server, whoever made the keys."""
    keys = keys_of(maker)
    with start_server(link.server, server, keys.section) as running:
        assert fetch(link.client, client, keys, connect=running.address) == keys.password


def test_our_keys_between_their_programs(link: Link, keys_of: Keys) -> None:
    """Keys and a section of our mandos-keygen serve the reference's programs among themselves."""
    keys = keys_of(OURS)
    with start_server(link.server, THEIRS, keys.section) as running:
        assert fetch(link.client, THEIRS, keys, connect=running.address) == keys.password


@pytest.mark.parametrize(("server", "client"), PAIRS)
def test_by_zeroconf_with_avahi(link: Link, keys_of: Keys, server: Family, client: Family) -> None:
    """A server announced by Avahi is found by any client."""
    keys = keys_of(client)
    with start_server(link.server, server, keys.section, zeroconf=True):
        assert fetch(link.client, client, keys) == keys.password


@pytest.mark.parametrize("client", [pytest.param(OURS, id="our"), pytest.param(THEIRS, id="their")])
def test_by_zeroconf_without_avahi(bare_link: Link, keys_of: Keys, client: Family) -> None:
    """Where neither D-Bus nor Avahi runs, our server announces itself and any client finds it."""
    keys = keys_of(client)
    with start_server(bare_link.server, OURS, keys.section, zeroconf=True):
        assert fetch(bare_link.client, client, keys) == keys.password


@pytest.mark.parametrize(("server", "client"), PAIRS)
def test_server_that_comes_later_is_found(
    link: Link, keys_of: Keys, server: Family, client: Family
) -> None:
    """A client that found nobody at its start gets the password once a server is announced."""
    keys = keys_of(client)
    with (
        start_client(link.client, client, keys) as waiting,
        start_server(link.server, server, keys.section, zeroconf=True),
    ):
        assert waiting.wait() == 0, waiting.report("no password")
        assert waiting.stdout == keys.password


@pytest.mark.parametrize("key_type", TLS_KEY_TYPES)
@pytest.mark.parametrize(("server", "client"), MIXED)
def test_tls_key_types(
    link: Link, keys_of: Keys, server: Family, client: Family, key_type: str
) -> None:
    """The default priority string allows every type of TLS key, small ones too."""
    keys = keys_of(THEIRS).with_tls_key(key_type)
    with start_server(link.server, server, keys.section) as running:
        assert fetch(link.client, client, keys, connect=running.address) == keys.password


@pytest.mark.parametrize("priority", [LAX, TLS12], ids=["lax", "tls12"])
@pytest.mark.parametrize(("server", "client"), MIXED)
def test_another_priority(
    link: Link, keys_of: Keys, server: Family, client: Family, priority: str
) -> None:
    """Both ends follow --priority, down to TLS 1.2."""
    keys = keys_of(THEIRS).with_tls_key("secp256r1")
    options = ("--priority", priority)
    with start_server(link.server, server, keys.section, options=options) as running:
        got = fetch(link.client, client, keys, connect=running.address, options=options)
    assert got == keys.password


@pytest.mark.parametrize("maker", KEYS)
@pytest.mark.parametrize(("server", "client"), MIXED)
def test_secret_sealed_by_gnupg(
    link: Link, keys_of: Keys, server: Family, client: Family, maker: Family
) -> None:
    """A secret that gpg alone encrypted to the client's key, unsigned, opens."""
    keys = keys_of(maker)
    keys = keys.with_secret(seal_with_gnupg(keys, b"sealed by hand"))
    with start_server(link.server, server, keys.section) as running:
        got = fetch(link.client, client, keys, connect=running.address)
    assert got == b"sealed by hand"


@pytest.mark.parametrize("cause", ["unknown", "disabled"])
@pytest.mark.parametrize(("server", "client"), MIXED)
def test_refused_client_asks_again(
    link: Link, keys_of: Keys, server: Family, client: Family, cause: str
) -> None:
    """A refused client gets nothing, asks again after --retry, and prints nothing."""
    keys = keys_of(THEIRS)
    section = f"{keys.section}enabled = no\n"
    asking = keys.with_tls_key("secp256r1") if cause == "unknown" else keys
    with (
        start_server(link.server, server, section) as running,
        start_client(link.client, client, asking, connect=running.address) as refused,
    ):
        for _ in range(2):
            running.wait_for(REFUSED[server.name, cause])
        assert refused.running
        assert refused.stdout == b""


@pytest.mark.parametrize("blob", ["not OpenPGP", "of another client"])
@pytest.mark.parametrize(("server", "client"), MIXED)
def test_secret_that_does_not_open_is_asked_for_again(
    link: Link, keys_of: Keys, server: Family, client: Family, blob: str
) -> None:
    """A secret that the client cannot open is fetched again, and nothing is printed."""
    keys, stranger = keys_of(THEIRS), keys_of(OURS)
    sealed = b"\0rubbish" if blob == "not OpenPGP" else seal_with_gnupg(stranger, b"not yours")
    keys = keys.with_secret(sealed)
    with (
        start_server(link.server, server, keys.section) as running,
        start_client(link.client, client, keys, connect=running.address) as asking,
    ):
        for _ in range(2):
            running.wait_for(SENT[server.name])
        assert asking.running
        assert asking.stdout == b""


@pytest.mark.parametrize(("server", "client"), MIXED)
def test_server_late_by_connect(link: Link, keys_of: Keys, server: Family, client: Family) -> None:
    """A client whose server refuses connections keeps trying until it is there."""
    keys = keys_of(THEIRS)
    address = f"{link.server.link_local()}:4711"
    with (
        start_client(link.client, client, keys, connect=address, options=["--debug"]) as asking,
    ):
        asking.wait_for("(?i)connection refused")
        with start_server(link.server, server, keys.section):
            assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout.endswith(keys.password)


def test_our_server_ends_cleanly(link: Link, keys_of: Keys) -> None:
    """SIGTERM ends our server with exit status 0, and its announcement goes with it."""
    with start_server(link.server, OURS, keys_of(THEIRS).section, zeroconf=True) as running:
        assert running.process.terminate() == 0, running.process.report("ended badly")
