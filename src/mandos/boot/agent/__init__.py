# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program password-agent: answers systemd's password questions with the fetched password.

The way of a question: ``directory`` (it appears) -> ``question`` (it is read) -> ``answer_policy``
(whether and when to answer, without input or output) -> ``delivery`` (it is answered).  The way of
the password: ``fetch`` (the client runs) -> ``vault`` (it is kept) -> ``delivery``.  ``agent``
waits for all of them, ``main`` wires them.  The specification is
https://systemd.io/PASSWORD_AGENTS/.
"""
