# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for a database and for the servers that use it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """A certificate authority with a certificate for a database, and one for a server.

    ``host`` is the certificate of the database and its key, in PEM; the server's are files.
    """

    def __init__(self, folder: Path, host: str = "localhost") -> None:
        folder.mkdir()
        self._name = f"authority {folder.name}"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._certify(self._name, self._key, authority=True)
        self.root = folder / "root.crt"
        self.root.write_text(self._certificate, encoding="utf-8")
        self.host = self._pair(host)
        names = (folder / "server.crt", folder / "server.key")
        for path, text in zip(names, self._pair("certified"), strict=True):
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
        self.certificate, self.key = names

    def _pair(self, name: str) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return self._certify(name, key), text.decode()

    def _certify(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool = False
    ) -> str:
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()
