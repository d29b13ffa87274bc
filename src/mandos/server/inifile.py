# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the INI files of the server, with errors that name the file and the line."""

from __future__ import annotations

import configparser
from typing import TYPE_CHECKING

from mandos.errors import AdministratorError

if TYPE_CHECKING:
    from pathlib import Path

_BOOLEANS = {
    "1": True, "yes": True, "true": True, "on": True,
    "0": False, "no": False, "false": False, "off": False,
}  # fmt: skip


def parse_boolean(text: str) -> bool:
    """Read a truth value; raises ValueError with what is expected."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("1, yes, true, on, 0, no, false or off") from None


def read_ini(path: Path) -> configparser.ConfigParser:
    """Parse a file; values still hold their ``%(name)s``.

    Raises AdministratorError when it cannot be read or is no INI file.
    """
    parser = configparser.ConfigParser(comment_prefixes=("#", ";"), inline_comment_prefixes=None)
    try:
        text = path.read_text(encoding="utf-8-sig")
        parser.read_string(text, source=str(path))
    except OSError as error:
        raise AdministratorError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AdministratorError(
            f"{path} is not UTF-8 text (at byte {error.start})", "is it a text file at all?"
        ) from error
    except configparser.Error as error:
        raise AdministratorError(_explain(path, error)) from error
    if "\0" in text:
        raise AdministratorError(f"{path} holds null bytes", "is it a text file at all?")
    return parser


def _explain(path: Path, error: configparser.Error) -> str:
    if isinstance(error, configparser.DuplicateSectionError):
        return f"{path}: line {error.lineno}: a section [{error.section}] exists already"
    if isinstance(error, configparser.DuplicateOptionError):
        return (
            f"{path}: line {error.lineno}: [{error.section}] {error.option} is given a second time"
        )
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"{path}: line {error.lineno}: a [section] must come before the first option"
    if isinstance(error, configparser.ParsingError):
        line, text = error.errors[0]
        return f"{path}: line {line}: expected option = value, not {text[:80]}"
    return f"{path}: {error.message}"
