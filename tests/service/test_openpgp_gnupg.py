# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenPGP between GnuPG, the reference's mandos-keygen and ours: everything that clients have."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.patience import Patience
from mandos.admin.keygen.main import main
from mandos.errors import AdministratorError
from mandos.openpgp import packets
from mandos.openpgp.kinds import primary_kind, subkey_kind
from mandos.openpgp.opening import SecretError, open_secret
from mandos.openpgp.sealing import UserID, generate_keys, seal

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = b"correct horse\x00battery \xff\nstaple "
LONG_AGO = "20150102T030405"
FUTURE = "20900102T030405"

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@dataclass(frozen=True)
class GnuPG:
    """The system's gpg with a home directory of its own."""

    home: Path

    def __call__(self, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run gpg, which must succeed."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--yes"]
        command += ["--trust-model", "always", "--pinentry-mode", "loopback", *arguments]
        return subprocess.run(command, input=data, capture_output=True, check=True)

    def make_key(self, name: str, parameters: str, *options: str) -> bytes:
        """Make a key whose user ID is ``name``; returns its armored secret key."""
        lines = [*parameters.split("; "), f"Name-Real: {name}", "%commit"]
        self("--generate-key", *options, data="\n".join(lines).encode())
        return self("--armor", "--export-secret-keys", "--passphrase", "typed", name).stdout

    def seal(self, name: str, *options: str) -> bytes:
        """Encrypt and sign the password as the reference's mandos-keygen does."""
        whose = ["--recipient", name, "--local-user", name]
        return self(*whose, *options, "--sign", "--encrypt", data=PASSWORD).stdout

    def open(self, message: bytes) -> bytes:
        """Decrypt."""
        return self("--decrypt", data=message).stdout


@pytest.fixture(scope="module")
def gpg() -> Iterator[GnuPG]:
    """One home for the module, its path short enough for a socket; its agent ends with it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        yield GnuPG(Path(home))
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


RSA = "%no-protection; Key-Type: RSA; Key-Length: 2048; Subkey-Type: RSA; Subkey-Length: 2048"
ECC = "%no-protection; Key-Type: EDDSA; Key-Curve: ed25519; Subkey-Type: ECDH; Subkey-Curve: "
KEYS = {
    "reference": RSA + "; Key-Usage: sign; Subkey-Usage: encrypt",
    "all-purpose": RSA,
    "short": RSA.replace("2048", "1024"),
    "single": "%no-protection; Key-Type: RSA; Key-Length: 2048; Key-Usage: sign,encrypt",
    "curve25519": ECC + "cv25519; Subkey-Usage: encrypt",
    "nist": "%no-protection; Key-Type: ECDSA; Key-Curve: nistp384; Key-Usage: sign; "
    "Subkey-Type: ECDH; Subkey-Curve: nistp521; Subkey-Usage: encrypt",
    "elgamal": "%no-protection; Key-Type: DSA; Key-Length: 1024; Subkey-Type: ELG-E; "
    "Subkey-Length: 1024",
}


@pytest.fixture(scope="module")
def secret_keys(gpg: GnuPG) -> dict[str, bytes]:
    """The armored secret keys, made by GnuPG."""
    return {name: gpg.make_key(name, parameters) for name, parameters in KEYS.items()}


@pytest.mark.parametrize("name", KEYS)
def test_opens_for_every_kind_of_key(
    gpg: GnuPG, secret_keys: dict[str, bytes], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever GnuPG made keys of in twenty years opens, without gpg."""
    sealed = gpg.seal(name)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert open_secret(sealed, secret_keys[name]) == PASSWORD


@pytest.mark.parametrize("compression", ["none", "zip", "zlib", "bzip2"])
def test_opens_every_compression(
    gpg: GnuPG, secret_keys: dict[str, bytes], compression: str
) -> None:
    """GnuPG compresses by default."""
    sealed = gpg.seal("reference", "--compress-algo", compression)
    assert open_secret(sealed, secret_keys["reference"]) == PASSWORD


@pytest.mark.parametrize(
    "options",
    [["--cipher-algo", "3DES"], ["--cipher-algo", "CAMELLIA256"], ["--armor"], ["--throw-keyids"]],
    ids=" ".join,
)
def test_opens_other_forms(gpg: GnuPG, secret_keys: dict[str, bytes], options: list[str]) -> None:
    """Old ciphers, armor, and messages that do not name their recipient."""
    sealed = gpg.seal("reference", *options)
    assert open_secret(sealed, secret_keys["reference"]) == PASSWORD


def test_opens_with_text_mode_as_gnupg_does(gpg: GnuPG, secret_keys: dict[str, bytes]) -> None:
    """Text mode changes line ends on the way; both give the same bytes back."""
    sealed = gpg.seal("reference", "--textmode")
    assert open_secret(sealed, secret_keys["reference"]) == gpg.open(sealed)


def test_opens_with_an_expired_key(gpg: GnuPG) -> None:
    """The machine has to come back, whatever the calendar says."""
    then = ["--faked-system-time", LONG_AGO]
    key = gpg.make_key("expired", KEYS["reference"] + "; Expire-Date: 1d", *then)
    assert open_secret(gpg.seal("expired", *then), key) == PASSWORD


def test_opens_with_a_key_of_the_future(gpg: GnuPG) -> None:
    """As a machine sees its own key whose clock begins in 1970, at every start."""
    then = ["--faked-system-time", FUTURE]
    key = gpg.make_key("future", KEYS["reference"], *then)
    assert open_secret(gpg.seal("future", *then), key) == PASSWORD


def test_opens_with_a_key_signed_by_sha1(gpg: GnuPG) -> None:
    """The self-signatures of GnuPG 1.4 are as good as the key file that they are in."""
    weak = ["--faked-system-time", LONG_AGO, "--cert-digest-algo", "SHA1"]
    weak += ["--allow-weak-key-signatures"]
    key = gpg.make_key("sha1", KEYS["reference"], *weak)
    assert open_secret(gpg.seal("sha1"), key) == PASSWORD


def test_refuses_a_message_without_integrity(gpg: GnuPG, secret_keys: dict[str, bytes]) -> None:
    """Packet type 9 could be changed by whoever carries it."""
    sealed = gpg("--rfc2440", "--recipient", "reference", "--encrypt", data=b"x").stdout
    assert packets.outline(sealed).data_packet == packets.SED
    with pytest.raises(SecretError, match="no integrity protection"):
        open_secret(sealed, secret_keys["reference"])


def test_refuses_a_key_with_a_passphrase(gpg: GnuPG) -> None:
    """It is found as a fault of the key file, with what to do."""
    parameters = KEYS["curve25519"].removeprefix("%no-protection; ") + "; Passphrase: typed"
    key = gpg.make_key("protected", parameters)
    with pytest.raises(AdministratorError, match="has a passphrase"):
        open_secret(gpg.seal("protected", "--passphrase", "typed"), key)


@pytest.fixture(params=["", "long/" * 30], ids=["short", "long"])
def temporary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for temporary files, whose path may be too long for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder, request.param)
        place.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        yield place


def _wait_for_no_process_of(folder: Path) -> None:
    """Wait until no process has the folder in its command line: an agent may need a moment."""
    patience = Patience(30)
    while any(str(folder).encode() in command for command in _running()):
        assert not patience.is_over(), "a gpg-agent was left behind"
        time.sleep(0.01)


def _running() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            yield path.read_bytes()


def test_gnupg_leaves_nothing_behind(temporary: Path) -> None:
    """A key that expires is made by gpg, which leaves neither files nor an agent."""
    kinds = primary_kind("ed25519", 0), subkey_kind("cv25519", 0)
    assert generate_keys(UserID("client"), *kinds, "1y").secret
    assert list(temporary.iterdir()) == []
    _wait_for_no_process_of(temporary)


@pytest.mark.parametrize("name", KEYS)
def test_gnupg_opens_what_we_seal(gpg: GnuPG, secret_keys: dict[str, bytes], name: str) -> None:
    """For every key that GnuPG made, as plain RFC 4880, with a good signature."""
    sealed = seal(PASSWORD, secret_keys[name])
    assert packets.outline(sealed).data_packet == packets.SEIPD
    opened = gpg("--decrypt", data=sealed)
    assert opened.stdout == PASSWORD
    assert b"Good signature" in opened.stderr


@pytest.mark.parametrize(
    ("primary", "subkey", "expire"),
    [
        ("rsa", "rsa", None),
        ("ed25519", "cv25519", None),
        ("nistp256", "nistp384", None),
        ("rsa", "rsa", "2y"),
        ("ed25519", "cv25519", "2099-12-31"),
    ],
)
def test_gnupg_uses_the_keys_that_we_make(
    gpg: GnuPG, primary: str, subkey: str, expire: str | None
) -> None:
    """GnuPG imports them, seals for them, and opens what we seal; expiry is in the key."""
    name = f"{primary} {subkey} {expire}"
    kinds = primary_kind(primary, 2048), subkey_kind(subkey, 2048)
    pair = generate_keys(UserID(name, "comment", "a@b.example"), *kinds, expire)
    gpg("--import", data=pair.secret)
    listed = gpg("--with-colons", "--list-keys", pair.fingerprint).stdout.decode()
    assert f":{name} (comment) <a@b.example>:" in listed
    fields = next(line for line in listed.splitlines() if line.startswith("pub:")).split(":")
    assert bool(fields[6]) == (expire is not None)
    assert open_secret(gpg.seal(pair.fingerprint), pair.secret) == PASSWORD
    assert gpg.open(seal(PASSWORD, pair.secret)) == PASSWORD


@pytest.mark.peer
def test_the_references_keygen_and_ours_swap(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Keys of either one, a section of the other: the same identity, the same password."""
    theirs = shutil.which("mandos-keygen", path="/usr/sbin")
    if theirs is None:
        pytest.skip("the reference's mandos-keygen is not installed")
    passfile = tmp_path / "password"
    passfile.write_bytes(PASSWORD)
    small = ["--type", "RSA", "--length", "2048", "--subtype", "RSA", "--sublength", "2048"]
    sealing = ["--name", "client", "--passfile", str(passfile), "--no-ssh"]
    (tmp_path / "theirs").mkdir(mode=0o700)
    made = [theirs, "--dir", str(tmp_path / "theirs"), "--name", "client", *small]
    subprocess.run(made, check=True, capture_output=True)
    assert main(["--dir", str(tmp_path / "ours"), "--name", "client", *small]) == 0
    for directory in (tmp_path / "ours", tmp_path / "theirs"):
        command = [theirs, "--dir", str(directory), *sealing]
        reference = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        capfd.readouterr()
        assert main(["--dir", str(directory), *sealing]) == 0
        own = capfd.readouterr().out
        for section in (reference, own):
            encoded = section.partition("secret =\n")[2]
            key = (directory / "seckey.txt").read_bytes()
            assert open_secret(base64.b64decode(encoded), key) == PASSWORD
        assert own.partition("secret")[0] == reference.partition("secret")[0]
