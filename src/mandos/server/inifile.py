# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The format of the server's files: ``[section]``, ``option = value``, ``%(name)s``.

The standard library's configparser defines the format (it serves as the oracle of the tests), but
it forgets line numbers and needs seconds for ten thousand clients.
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from mandos.errors import AdministratorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DEFAULT = "DEFAULT"

#: Bytes in a file; ten thousand clients need a tenth of it.
_FILE_LIMIT = 1 << 28
#: Characters that one value may take in by expansion, and how deep expansions may be nested.
_EXPANSION_LIMIT = 1 << 20
_EXPANSION_DEPTH = 10

_HEADER = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"(.*?)\s*[=:]\s*(.*)")
_REFERENCE = re.compile(r"%(?:(%)|\(([^)]+)\)s)?")
_BOOLEANS = {
    "1": True, "yes": True, "true": True, "on": True,
    "0": False, "no": False, "false": False, "off": False,
}  # fmt: skip


class Value(NamedTuple):
    """The text of an option, not expanded, and the line where it begins."""

    text: str
    line: int


class Section(NamedTuple):
    """A section's options by their names in lower case, and the line of its header."""

    name: str
    line: int
    options: dict[str, Value]


class IniFile(NamedTuple):
    """The options of ``[DEFAULT]``, and all other sections in the order of the file."""

    defaults: Mapping[str, Value]
    sections: list[Section]


def parse_boolean(text: str) -> bool:
    """Read a truth value; raises ValueError with what is expected."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("1, yes, true, on, 0, no, false or off") from None


def read_ini(path: Path) -> IniFile:
    """Parse a file.

    Raises AdministratorError when it cannot be read or is not in the format.
    """
    parser = _Parser(path)
    try:
        _check_kind(path)
        with path.open(encoding="utf-8-sig") as file:
            return parser.parse(file)
    except OSError as error:
        raise AdministratorError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AdministratorError(
            f"{path} is not UTF-8 text ({error.reason} after line {parser.line})",
            "is it a text file at all?",
        ) from error


def _check_kind(path: Path) -> None:
    """Refuse what reading might never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise AdministratorError(f"{path} is not a regular file")
    if status.st_size > _FILE_LIMIT:
        raise AdministratorError(f"{path} is larger than {_FILE_LIMIT >> 20} MiB")


class _Parser:
    """Goes through a file line by line."""

    def __init__(self, path: Path) -> None:
        self.line = 0
        self._path = path
        self._default = Section(DEFAULT, 0, {})
        self._sections: dict[str, Section] = {}
        self._section: Section | None = None
        self._option = ""
        self._begun = 0
        self._lines: list[str] = []
        self._indent = 0

    def parse(self, lines: Iterable[str]) -> IniFile:
        for self.line, line in enumerate(lines, 1):
            text = line.strip()
            if not text:
                self._lines.append("")
            elif text[0] in "#;":
                continue
            elif self._option and len(line) - len(line.lstrip()) > self._indent:
                self._lines.append(text)
            else:
                self._end_option()
                self._indent = len(line) - len(line.lstrip())
                self._begin(text)
        self._end_option()
        return IniFile(self._default.options, list(self._sections.values()))

    def _begin(self, text: str) -> None:
        if header := _HEADER.match(text):
            self._begin_section(header[1])
        elif self._section is None:
            raise self._error("a [section] must come before the first option")
        else:
            self._begin_option(self._section, text)

    def _begin_section(self, name: str) -> None:
        if name == DEFAULT:
            self._section = self._default
            return
        if name in self._sections:
            first = self._sections[name].line
            raise self._error(f"there is a section [{name}] at line {first} already")
        self._section = self._sections[name] = Section(name, self.line, {})

    def _begin_option(self, section: Section, text: str) -> None:
        match = _OPTION.fullmatch(text)
        if match is None or not match[1]:
            raise self._error("expected [section] or option = value")
        name = match[1].lower()
        if name in section.options:
            first = section.options[name].line
            raise self._error(f"[{section.name}] has {name} at line {first} already")
        self._option, self._begun, self._lines = name, self.line, [match[2]]

    def _end_option(self) -> None:
        if self._option and self._section is not None:
            text = "\n".join(self._lines).rstrip()
            if "\0" in text:
                raise self._error("null bytes", "is it a text file at all?")
            self._section.options[self._option] = Value(text, self._begun)
        self._option = ""
        self._lines.clear()

    def _error(self, problem: str, hint: str | None = None) -> AdministratorError:
        return AdministratorError(f"{self._path}: line {self.line}: {problem}", hint)


def expand(text: str, options: Mapping[str, Value]) -> str:
    """Replace ``%(name)s`` by the option of that name, and ``%%`` by a percent sign.

    Raises ValueError with what is expected.
    """
    return _Expansion(options).of(text) if "%" in text else text


class _Expansion:
    """Expands one value within the limits."""

    def __init__(self, options: Mapping[str, Value]) -> None:
        self._options = options
        self._left = _EXPANSION_LIMIT
        self._depth = 0

    def of(self, text: str) -> str:
        return _REFERENCE.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        percent, name = match.groups()
        if percent:
            return "%"
        if name is None:
            raise ValueError("%(name)s after a percent sign, or %% for the sign itself")
        value = self._options.get(name.lower())
        if value is None:
            raise ValueError(f"an option {name} in this section or in [{DEFAULT}] for %({name})s")
        return self._nested(value.text)

    def _nested(self, text: str) -> str:
        self._left -= len(text) + 1
        self._depth += 1
        if self._left < 0 or self._depth >= _EXPANSION_DEPTH:
            raise ValueError("expansions that come to an end")
        expanded = self.of(text)
        self._depth -= 1
        return expanded
