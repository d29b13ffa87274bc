# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenPGP (RFC 9580, and GnuPG's additions): makes keys, encrypts a password, decrypts a secret.

``packets`` looks at a message from outside, ``opening`` is the client's half, ``sealing`` the
administrator's.  Messages that the library does not open, ``by_session_key`` opens with OpenSSL's
libcrypto; keys that it does not make, ``gnupg`` makes.  The early-boot half imports no more than it
needs; ``opening.load`` loads the library itself.  For the choice of library see docs/openpgp.md.
"""
