# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion for shells: ``shtab`` writes the scripts; names come from the program itself."""

from __future__ import annotations

import shtab

from mandos.admin.ctl.command_line import parser

_NAMES = "mandos-ctl --names 2>/dev/null"


def script(shell: str) -> str:
    """The completion script for bash, zsh or fish."""
    return shtab.complete(parser(), shell)
