# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GnuPG 2.4 itself, as Debian 13 has it: its keys, its OCB messages, and what we seal for it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import newer
from harness.families import ours
from harness.host import Host
from harness.keys import make_credentials
from harness.peers import fetch, start_server
from mandos.openpgp import by_session_key, packets
from mandos.openpgp.opening import open_secret, read_secret_key
from mandos.openpgp.sealing import seal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.host import Link

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(newer.why_not() is not None, reason=str(newer.why_not())),
]

PASSWORD = b"correct horse\x00battery \xff\nstaple "
#: What the subkey is made of, in words of --quick-generate-key and --quick-add-key.
KINDS = ["rsa2048", "cv25519", "nistp256", "nistp521"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home directory of GnuPG's, its path short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="gnupg-") as folder:
        yield Path(folder)


def _make_key(home: Path, kind: str) -> bytes:
    primary = {"cv25519": "ed25519"}.get(kind, kind)
    plain = ("--pinentry-mode", "loopback", "--passphrase", "")
    newer.gpg(home, *plain, "--quick-generate-key", "client", primary, "sign", "never")
    listed = newer.gpg(home, "--with-colons", "--list-keys", "client").decode()
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if "fpr:" in line)
    newer.gpg(home, *plain, "--quick-add-key", fingerprint, kind, "encrypt", "never")
    return newer.gpg(home, *plain, "--armor", "--export-secret-keys", "client")


@pytest.mark.parametrize("kind", KINDS)
def test_opens_ocb_without_gpg(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password; and content that GnuPG writes in pieces, as it does not know the length."""
    key = _make_key(home, kind)
    large = os.urandom(100_000)
    signing = ("--recipient", "client", "--local-user", "client", "--sign", "--encrypt")
    sealed = [newer.gpg(home, *signing, "--force-ocb", data=data) for data in (PASSWORD, large)]
    monkeypatch.setenv("PATH", "/nonexistent")
    assert {packets.outline(message).data_packet for message in sealed} == {packets.GNUPG_OCB}
    assert open_secret(sealed[0], key) == PASSWORD
    opened = by_session_key.decrypted(sealed[1], read_secret_key(key))
    assert opened.as_data_vec() == large


@pytest.mark.parametrize("kind", KINDS)
def test_gnupg_2_4_opens_what_we_seal(home: Path, kind: str) -> None:
    """As plain RFC 4880, for its own keys."""
    sealed = seal(PASSWORD, _make_key(home, kind))
    assert packets.outline(sealed).data_packet == packets.SEIPD
    assert newer.gpg(home, "--decrypt", data=sealed) == PASSWORD


def test_our_client_opens_ocb_at_work(link: Link, home: Path) -> None:
    """Made by GnuPG 2.4 for keys of our mandos-keygen, sent by our server, opened by our client."""
    with Host("workshop") as workshop:
        keys = make_credentials(workshop, ours(), "ocb", b"first", kind=())
        public = workshop.path(f"{keys.directory}/pubkey.txt").read_bytes()
        newer.gpg(home, "--import", data=public)
        sealing = ("--recipient", "ocb", "--force-ocb", "--encrypt")
        by_hand = keys.with_secret(newer.gpg(home, *sealing, data=PASSWORD))
        assert packets.outline(by_hand.sealed).data_packet == packets.GNUPG_OCB
        with start_server(link.server, ours(), by_hand.section) as running:
            assert fetch(link.client, ours(), by_hand, connect=running.address) == PASSWORD
