# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PySequoia and rPGP tried on what real clients have: docs/openpgp.md explains the outcome.

Needs gpg and PyPI; makes a virtual environment and keys of its own in a temporary directory.
Run with any Python:  python3 benchmarks/openpgp_libraries.py
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARIES = {"pysequoia": "pysequoia", "rpgp-py": "openpgp"}
PASSWORD = b"correct horse\x00battery staple\n"
LONG_AGO = ["--faked-system-time", "20150102T030405"]
ROUNDS = 3

_RSA = "Key-Type: RSA\nKey-Length: {0}\nKey-Usage: {1}\nSubkey-Type: RSA\nSubkey-Length: {0}\n"
_RSA += "Subkey-Usage: {2}\n"
_ECC = "Key-Type: {}\nKey-Curve: {}\nKey-Usage: sign\nSubkey-Type: ECDH\nSubkey-Curve: {}\n"
_ECC += "Subkey-Usage: encrypt\n"
_REFERENCE = _RSA.format(4096, "sign", "encrypt")
_SMALL = _RSA.format(2048, "sign", "encrypt")

#: Case: parameters of the key, options when it is made, options when the message is made.
CASES: dict[str, tuple[str, list[str], list[str]]] = {
    "RSA 4096, as the reference makes it": (_REFERENCE, [], []),
    "RSA 2048, primary key may encrypt too": (_RSA.format(2048, "sign,encrypt", "encrypt"), [], []),
    "RSA 1024": (_RSA.format(1024, "sign", "encrypt"), [], []),
    "ed25519, cv25519": (_ECC.format("EDDSA", "ed25519", "cv25519"), [], []),
    "nistp256": (_ECC.format("ECDSA", "nistp256", "nistp256"), [], []),
    "nistp521": (_ECC.format("ECDSA", "nistp521", "nistp521"), [], []),
    "DSA, ElGamal": (
        "Key-Type: DSA\nKey-Length: 2048\nSubkey-Type: ELG-E\nSubkey-Length: 2048\n", [], []
    ),
    "not compressed": (_SMALL, [], ["--compress-algo", "none"]),
    "compressed by bzip2": (_SMALL, [], ["--compress-algo", "bzip2"]),
    "Curve25519, compressed by bzip2": (
        _ECC.format("EDDSA", "ed25519", "cv25519"), [], ["--compress-algo", "bzip2"]
    ),
    "recipient hidden": (_SMALL, [], ["--throw-keyids"]),
    "cipher 3DES": (_SMALL, [], ["--cipher-algo", "3DES"]),
    "key expired": (_SMALL + "Expire-Date: 1d\n", LONG_AGO, LONG_AGO),
    "self-signatures by SHA-1": (_SMALL, [*LONG_AGO, "--cert-digest-algo", "SHA1"], []),
    "OCB packet (type 20)": (_SMALL, [], []),
}  # fmt: skip


def main() -> int:
    """Print the table; returns the exit status."""
    if sys.argv[1:2] == ["--trial"]:
        print(json.dumps(trial(sys.argv[2], Path(sys.argv[3]))))
        return 0
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder)
        python = str(make_environment(place / "venv"))
        (place / "gnupg").mkdir(mode=0o700)
        try:
            for number, case in enumerate(CASES):
                make_message(place, number, case)
            make_ocb(place, list(CASES).index("OCB packet (type 20)"), python)
        finally:
            run("gpgconf", "--homedir", f"{place}/gnupg", "--kill", "all")
        results = {}
        for library in LIBRARIES:
            done = run(python, __file__, "--trial", library, folder)
            results[library] = json.loads(done)
            results[library]["extension, MB"] = round(extension_size(place, library) / 1e6, 1)
    print_table(results)
    return 0


def run(*command: str, data: bytes = b"") -> bytes:
    """Run a program that must succeed; returns its output."""
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr.decode()}")
    return done.stdout


def make_environment(place: Path) -> Path:
    """A virtual environment with both libraries; returns its interpreter."""
    run(sys.executable, "-m", "venv", str(place))
    python = place / "bin" / "python"
    run(str(python), "-m", "pip", "--quiet", "install", *LIBRARIES, "cryptography")
    return python


def gpg(place: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Run gpg in the home directory of this benchmark."""
    home = ["--homedir", f"{place}/gnupg", "--batch", "--no-tty", "--trust-model", "always"]
    return run("gpg", *home, *arguments, data=data)


def make_message(place: Path, number: int, case: str) -> None:
    """Make the key and the message of a case."""
    parameters, making, sealing = CASES[case]
    name = f"case {number}"
    script = f"%no-protection\n{parameters}Name-Real: {name}\n%commit\n"
    gpg(place, *making, "--generate-key", data=script.encode())
    key = gpg(place, "--armor", "--export-secret-keys", name)
    (place / f"{number}.key").write_bytes(key)
    whose = ["--recipient", name, "--local-user", name]
    message = gpg(place, *whose, *sealing, "--sign", "--encrypt", data=PASSWORD)
    (place / f"{number}.message").write_bytes(message)


def make_ocb(place: Path, number: int, python: str) -> None:
    """Turn a message into what GnuPG 2.4 makes: draft-ietf-openpgp-rfc4880bis-10, section 5.16."""
    path = place / f"{number}.message"
    message = path.read_bytes()
    shown = gpg(place, "--status-fd", "1", "--show-session-key", "--decrypt", str(path))
    session = next(line for line in shown.splitlines() if line.startswith(b"[GNUPG:] SESSION_KEY"))
    cipher, _colon, key = session.decode().split()[2].partition(":")
    length = int.from_bytes(message[1:3])  # of the session key packet, in the old format
    literal = b"\xcb" + bytes((6 + len(PASSWORD),)) + b"b" + bytes(5) + PASSWORD
    header = bytes((1, int(cipher), 2, 16))
    seal = (
        "from cryptography.hazmat.primitives.ciphers.aead import AESOCB3; import sys;"
        "key, nonce, data, ad = map(bytes.fromhex, sys.argv[1:]);"
        "sys.stdout.buffer.write(AESOCB3(key).encrypt(nonce, data, ad))"
    )
    vector = bytes(range(15))
    last = (len(literal)).to_bytes(8)
    body = header + vector
    for index, (data, extra) in enumerate(((literal, b""), (b"", last))):
        nonce = vector[:7] + (int.from_bytes(vector[7:]) ^ index).to_bytes(8)
        associated = b"\xd4" + header + index.to_bytes(8) + extra
        texts = (text.hex() for text in (nonce, data, associated))
        body += run(python, "-c", seal, key, *texts)
    path.write_bytes(message[: 3 + length] + b"\xd4" + bytes((len(body),)) + body)
    if gpg(place, "--decrypt", str(path)) != PASSWORD:
        sys.exit("gpg does not open the OCB message")


def extension_size(place: Path, library: str) -> int:
    """Bytes of the library's extension module."""
    folders = place.glob(f"venv/lib/python*/site-packages/{LIBRARIES[library]}")
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*.so"))


def trial(library: str, place: Path) -> dict[str, object]:
    """Time a library and try all cases; runs in the virtual environment."""
    start = time.perf_counter()
    importlib.import_module(LIBRARIES[library])
    loaded = time.perf_counter() - start
    open_message = {"pysequoia": open_by_pysequoia, "rpgp-py": open_by_rpgp}[library]
    generate = {"pysequoia": generate_by_pysequoia, "rpgp-py": generate_by_rpgp}[library]
    outcome: dict[str, object] = {}
    for number, case in enumerate(CASES):
        key = (place / f"{number}.key").read_bytes()
        message = (place / f"{number}.message").read_bytes()
        outcome[case] = attempt(open_message, message, key)
    key, message = (place / "0.key").read_bytes(), (place / "0.message").read_bytes()
    outcome["import, ms"] = round(1000 * loaded, 1)
    outcome["open RSA 4096, ms"] = round(1000 * timed(lambda: open_message(message, key)), 1)
    outcome["make RSA 4096, s"] = round(timed(generate), 1)
    return outcome


def attempt(function: Callable[[bytes, bytes], bytes], message: bytes, key: bytes) -> str:
    """Whether the password comes out."""
    try:
        return "yes" if function(message, key) == PASSWORD else "wrong bytes"
    except (ValueError, RuntimeError) as error:  # the libraries' errors
        return "no: " + str(error).partition("\n")[0][:60]


def timed(function: Callable[[], object]) -> float:
    """Median seconds of a few calls."""
    times = []
    for _round in range(ROUNDS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times)


def open_by_pysequoia(message: bytes, key: bytes) -> bytes:
    """As its manual shows."""
    library = importlib.import_module("pysequoia")
    opened = library.decrypt(message, library.Tsk.from_bytes(key).decryptor())
    return bytes(opened.bytes)


def open_by_rpgp(message: bytes, key: bytes) -> bytes:
    """As its manual shows."""
    library = importlib.import_module("openpgp.composed")
    secret_key, _headers = library.SignedSecretKey.from_armor(key.decode())
    return bytes(library.Message.from_bytes(message).decrypt(None, secret_key).as_data_vec())


def generate_by_pysequoia() -> object:
    """RSA 4096 with two RSA 4096 subkeys: it cannot make fewer."""
    library = importlib.import_module("pysequoia")
    return library.Tsk.generate(user_id="client", cipher_suite=library.CipherSuite.RSA4k)


def generate_by_rpgp() -> object:
    """RSA 4096 with an RSA 4096 subkey, as the reference's mandos-keygen has it."""
    library = importlib.import_module("openpgp.composed")
    rsa = library.KeyType.rsa(4096)
    subkey = library.SubkeyParamsBuilder().version(4).key_type(rsa)
    subkey = subkey.can_encrypt(library.EncryptionCaps.all()).build()
    key = library.SecretKeyParamsBuilder().version(4).key_type(rsa).can_sign(value=True)
    return key.primary_user_id("client").subkey(subkey).generate()


def print_table(results: dict[str, dict[str, object]]) -> None:
    """Print everything as one Markdown table."""
    print(f"| | {' | '.join(results)} |\n|---|{'---|' * len(results)}")
    for row in next(iter(results.values())):
        print(f"| {row} | {' | '.join(str(result[row]) for result in results.values())} |")


if __name__ == "__main__":
    sys.exit(main())
