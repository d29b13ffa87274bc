# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenPGP (RFC 9580, and what GnuPG adds): make keys, seal a password, open a secret.

``packets`` looks at a message from outside, ``opening`` is the client's half, ``sealing`` the
administrator's.  What the library does not open, ``by_session_key`` opens with OpenSSL's libcrypto;
what it does not make, ``gnupg`` makes.  The early-boot half imports no more than it needs; the
library itself is loaded by ``opening.load``.  Why this library: docs/openpgp.md.
"""
