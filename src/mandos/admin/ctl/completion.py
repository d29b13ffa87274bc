# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion for shells: ``shtab`` writes the scripts; names come from the running server.

A script asks ``mandos-ctl --names`` when a name is to be completed; without a server there are
simply none.
"""

from __future__ import annotations

import shtab

from mandos.admin.ctl.command_line import parser

_NAMES = {
    "bash": "_mandos_ctl_names",
    "zsh": "_mandos_ctl_names",
    "fish": "(mandos-ctl --names 2>/dev/null)",
}
#: Names are quoted where the shell does not do it by itself.
_PREAMBLES = {
    "bash": r"""
_mandos_ctl_names() {
  local name quoted
  while IFS= read -r name; do
    printf -v quoted %q "$name"
    [[ $name == "$1"* || $quoted == "$1"* ]] && printf '%s\n' "$quoted"
  done < <(mandos-ctl --names 2>/dev/null)
}
""",
    "zsh": r"""
_mandos_ctl_names() {
  local -a names
  names=("${(@f)$(mandos-ctl --names 2>/dev/null)}")
  compadd -a names
}
""",
}
_FILES = frozenset(("--secret", "--add"))


def script(shell: str) -> str:
    """The completion script for bash, zsh or fish."""
    made = parser()
    for action in made._actions:  # noqa: SLF001 - argparse has no other way
        if action.dest == "names":
            action.complete = _NAMES  # type: ignore[attr-defined]  # for shtab
        elif _FILES.intersection(action.option_strings):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    text = str(shtab.complete(made, shell, preamble=_PREAMBLES.get(shell, "")))
    if shell == "zsh":  # shtab completes only the first of many names
        text = text.replace('"(*)::', '"*:').replace("_defaults_added=0", "_defaults_added=1")
    return text
