# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the server's user has the programs that the clients' checkers start."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from mandos.server.self_check.as_user import as_user
from mandos.server.self_check.findings import failed, not_checked, ok

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mandos.client_settings import ClientSettings
    from mandos.server.self_check.findings import Finding
    from mandos.server.system.privileges import ServerUser

CHECKERS = "checkers"
_PLAIN = re.compile(r"\s*([A-Za-z0-9_./+:][A-Za-z0-9_./+-]*)(?=\s|$)")
#: Commands that sh(1) executes by itself, and words that begin longer commands.
_SHELL = frozenset((
    ".", ":", "alias", "case", "cd", "command", "echo", "eval", "exec", "exit", "export", "false",
    "for", "if", "kill", "printf", "pwd", "read", "set", "shift", "test", "times", "trap", "true",
    "type", "ulimit", "umask", "unset", "until", "wait", "while",
))  # fmt: skip
_SHOWN = 3


def check(clients: Sequence[ClientSettings], user: ServerUser) -> Iterator[Finding]:
    """Look for the first word of each distinct checker, where it is a plain word."""
    users: dict[str, list[str]] = {}
    unknown: list[str] = []
    for client in clients:
        program = program_of(client.checker)
        if program is None:
            unknown.append(client.name)
        elif program not in _SHELL:
            users.setdefault(program, []).append(client.name)
    programs = sorted(users)
    found: list[str | None] = as_user(user, lambda: [shutil.which(word) for word in programs])
    for program, path in zip(programs, found, strict=True):
        yield _finding(program, path, users[program], user)
    if unknown:
        said = f"the checkers of {_names(unknown)} do not begin with the plain name of a program"
        yield not_checked(CHECKERS, said, f"run them by hand, as the user {user.name}")


def program_of(checker: str) -> str | None:
    """Return the program that a checker starts; None when only the shell could find out."""
    plain = _PLAIN.match(checker)
    return plain[1] if plain else None


def _finding(program: str, path: str | None, names: list[str], user: ServerUser) -> Finding:
    if path is not None:
        return ok(CHECKERS, f"the user {user.name} has {path}")
    said = f"the user {user.name} has no program {program}, needed by {_names(names)}"
    return failed(CHECKERS, said, f"install it (apt install {program}), or write its full path")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
