# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mandos: unattended reboots for machines with encrypted root disks.

A secret passes through these packages: ``admin.keygen`` encrypts it, ``server`` keeps it and
decides which client may have it, ``tls`` and ``wire`` carry it, ``client`` fetches it and
``openpgp`` decrypts it.  This module must stay free of imports: early boot pays for each of them.
"""

__version__ = "0.2.0"
