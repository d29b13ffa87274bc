# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's MESSAGE_ID of each kind of record: systemd.journal-fields(7).

Made at random once and never changed: administrators' filters and ``systemd/mandos.catalog``, which
explains each of them, name these numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.server.audit.records import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGE_IDS: Mapping[Kind, str] = {
    Kind.ENABLED: "1726e4dea87a4b8aa3c9cc534d8b0e8a",
    Kind.DISABLED: "1ebfa3bfd8bd41f2ac318a8bce8b8ee7",
    Kind.OVERDUE: "e2ff811cebd24eefa6d61bb716bef453",
    Kind.FORGIVEN: "ee42fb1e53934773a924c8eca66d2cdc",
    Kind.SECRET_SENT: "af4ea8a327844e1fb7d676e3a814354a",
    Kind.REHEARSED: "dbe63defb00d49a7929b4e0a620d0a15",
    Kind.STATUS_SENT: "3c86aef6585e40beb78ac0b7f11e9bdb",
    Kind.UNDELIVERED: "0ddd58f2db2b49009f4ed99138d500ef",
    Kind.REJECTED: "deeebb10b30c489ea8d786b12773d708",
    Kind.UNKNOWN_KEY: "bfeccd9f6b1b40b9b07dc88f6fdcd8be",
    Kind.CHECK_FAILED: "b06f55f52a704762aac84f53ee8036f7",
    Kind.APPROVAL_NEEDED: "9bcd5120289c4b69902f9880c6462e57",
    Kind.APPROVED: "c404c4ac0fff4ff884577601dcebf6ec",
    Kind.DENIED: "8f134de35d914273b12c9344dcb1a54f",
    Kind.CHANGED: "2c1f8092aa2c41e4a58c2fe81a41c4c4",
    Kind.ADDED: "8a1b691b205a488191ef34374bd3a565",
    Kind.REMOVED: "9cd78e3d274d4eeaaaea6e9257baa1d7",
    Kind.STATE_LOST: "cd8be3bab4574d5e94667fa3367ae046",
}
