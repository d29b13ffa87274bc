# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keys can be made of, and when they expire, as an administrator writes it."""

from __future__ import annotations

import pytest

from mandos.errors import UsageError
from mandos.openpgp.kinds import expiry, primary_kind, subkey_kind


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("RSA", "Key-Type: RSA\nKey-Length: 3000\n"),
        ("1", "Key-Type: RSA\nKey-Length: 3000\n"),
        ("Ed25519", "Key-Type: EDDSA\nKey-Curve: ed25519\n"),
        ("ECC", "Key-Type: EDDSA\nKey-Curve: ed25519\n"),
        ("nistp256", "Key-Type: ECDSA\nKey-Curve: nistp256\n"),
        ("P521", "Key-Type: ECDSA\nKey-Curve: nistp521\n"),
    ],
)
def test_primary_kinds_have_many_names(name: str, parameters: str) -> None:
    """Names are read without case; a length counts only where there is one."""
    assert primary_kind(name, 3000).gnupg_parameters("Key") == parameters


@pytest.mark.parametrize("name", ["ecdh", "ECC", "cv25519", "curve25519", "ed25519"])
def test_subkeys_encrypt(name: str) -> None:
    """A curve's name leads to its encrypting half."""
    parameters = subkey_kind(name, 0).gnupg_parameters("Subkey")
    assert parameters == "Subkey-Type: ECDH\nSubkey-Curve: cv25519\n"


@pytest.mark.parametrize("name", ["", "DSA", "cv25519", "ELG-E", "rsa4096"])
def test_other_kinds_are_refused_with_a_list(name: str) -> None:
    """The error lists what can be made."""
    with pytest.raises(UsageError) as caught:
        primary_kind(name, 4096)
    assert caught.value.hint == "known: rsa, ed25519, nistp256, nistp384, nistp521"


@pytest.mark.parametrize("length", [0, 1024, 2047, 4097, 1 << 40])
def test_rsa_lengths_have_bounds(length: int) -> None:
    """Too short is unsafe, too long is nothing that GnuPG would use."""
    with pytest.raises(UsageError, match="RSA key cannot have") as caught:
        subkey_kind("rsa", length)
    assert caught.value.hint == "2048 to 4096 bits"


@pytest.mark.parametrize("text", ["0", "", "never", "none", "0d", "00", "seconds=0"])
def test_no_expiry(text: str) -> None:
    """All the ways to say never."""
    assert expiry(text) is None


@pytest.mark.parametrize(
    "text", ["1", "90d", "4w", "6m", "2y", "2030-12-31", "20301231T235959", "seconds=86400"]
)
def test_expiry_is_passed_on(text: str) -> None:
    """Everything that gpg(1) knows."""
    assert expiry(f" {text} ") == text


@pytest.mark.parametrize("text", ["soon", "-1", "2 y", "1h", "31.12.2030", "1\n%commit", "seconds"])
def test_other_expiry_is_refused(text: str) -> None:
    """Anything else is an error with examples, and never reaches GnuPG."""
    with pytest.raises(UsageError, match="does not say when"):
        expiry(text)
