# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A crowd of clients on the server's own host: their keys, and the program that asks for them."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption
from cryptography.hazmat.primitives.serialization import PrivateFormat as Private
from cryptography.hazmat.primitives.serialization import PublicFormat as Public

if TYPE_CHECKING:
    from harness.host import Host
    from harness.process import Process

_PROGRAM = Path(__file__).with_name("crowd_program.py")
_SECRET_SIZE = 300


def enlist(folder: Path, name: str) -> str:
    """Make a client's keys and secret in ``folder``; returns its section, without further options.

    The secret is random bytes: who gets it only compares.
    """
    key = Ed25519PrivateKey.generate()
    public, secret = key.public_key(), os.urandom(_SECRET_SIZE)
    private = key.private_bytes(Encoding.PEM, Private.PKCS8, NoEncryption())
    shown = public.public_bytes(Encoding.PEM, Public.SubjectPublicKeyInfo)
    key_id = hashlib.sha256(public.public_bytes(Encoding.DER, Public.SubjectPublicKeyInfo))
    (folder / f"{name}.key").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(shown)
    (folder / f"{name}.secret").write_bytes(secret)
    encoded = base64.b64encode(secret).decode()
    return f"[{name}]\nkey_id = {key_id.hexdigest()}\nsecret = {encoded}\n"


def start_crowd(host: Host, port: int, folder: Path) -> Process:
    """Have all clients of a folder ask, again and again.

    Prints ``got NAME`` for every whole secret, ``nothing NAME`` for every refusal (or a server
    that was killed), ``wrong NAME`` for anything else that somebody got.
    """
    return host.start(sys.executable, str(_PROGRAM), str(port), str(folder))


def ask(host: Host, port: int, folder: Path, *names: str) -> dict[str, str]:
    """Have these clients ask once; returns for each of them ``got`` or ``nothing``."""
    said = host.run(sys.executable, str(_PROGRAM), str(port), str(folder), *names).decode()
    lines = (line.split() for line in said.splitlines())
    return {name: outcome for outcome, name in lines}
