# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the format of the server's files: ``[section]``, ``option = value``, ``%(name)s``.

The standard library's configparser defines the format; the tests compare this parser with it.  The
server needs line numbers in messages, all mistakes at once, and ten thousand clients in less than
seconds, which configparser does not have.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mandos.errors import AdministratorError
from mandos.server.config.files import read_file, shown
from mandos.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT = "DEFAULT"

#: Bytes in a file; ten thousand clients need a third of it.
FILE_LIMIT = 64 << 20
#: Mistakes of the format after which the rest of a file is not read; a last message says so.
_PROBLEM_LIMIT = 99
#: Most characters that expansion may add to one value, and most nested expansions.
_EXPANSION_LIMIT = 1 << 20
_EXPANSION_DEPTH = 10

#: What stands for a byte that is not UTF-8: Python's error handler "surrogateescape".
_SURROGATE = re.compile("[\udc80-\udcff]")
_HEADER = re.compile(r"\[(.+)\]")
_SIGN = re.compile(r"[=:]")
_REFERENCE = re.compile(r"%(?:(%)|\(([^)]+)\)s)?")
#: Nearly all of a large file: an option that is not indented, and lines of base64 under it.
_PLAIN = re.compile(r"(([A-Za-z0-9_]++)[ \t]*+[=:]([^\n]*+))\n((?:[ \t]++[A-Za-z0-9+/=]++\n)*+)")
#: The header of a section with nothing else in its line, and empty lines above it.
_PLAIN_HEADER = re.compile(r"(\n*+)\[([^\]\n]++)\]\n")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
_WORD = re.compile(r"[A-Za-z]?[a-z]+=|[A-Z]+=")
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


class Problem(NamedTuple):
    """A mistake of the format: its line, and the text of the message."""

    line: int
    text: str


class IniFile(NamedTuple):
    """The options of ``[DEFAULT]``, and all other sections in the order of the file.

    Sections with a problem are skipped, and ``damaged`` has their names.  ``sound``: ``[DEFAULT]``
    has no problem.  ``headless`` are the options before the first section, which is a problem too.
    """

    defaults: dict[str, Value]
    sections: list[Section]
    problems: list[Problem]
    sound: bool
    damaged: frozenset[str]
    headless: dict[str, Value]


def label(name: str) -> str:
    """Return a section's header as messages show it: bounded, without control characters."""
    return f"[{name:.80}]" if name.isprintable() else f"[{name[:80]!r}]"


def may_end_base64(value: str) -> bool:
    """Return whether an option with this value may be the last line of a secret's base64."""
    return value.partition("\n")[0] in {"", "="}


def plain_name(name: str, value: str) -> str:
    """Return an option's name as messages show it; empty when it may be part of a secret."""
    return name if _NAME.fullmatch(name) and not may_end_base64(value) else ""


@lru_cache(maxsize=1024)
def spelling_hint(name: str, known: frozenset[str]) -> str:
    """Return the suggestion for an unknown name, to end a message; empty if no name is like it."""
    found = nearest(name, known)
    return f"; is it {found}?" if found else ""


def parse_boolean(text: str) -> bool:
    """Read a truth value; raises ValueError with the valid words."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("1, yes, true, on, 0, no, false or off") from None


def read_ini(path: Path) -> IniFile:
    """Read and parse a file.

    Raises AdministratorError when it cannot be read, or with all problems of the format.
    """
    file = parse_ini(decode(read_file(path, FILE_LIMIT).data, shown(path)))
    if file.problems:
        lines = (f"{shown(path)}: line {problem.line}: {problem.text}" for problem in file.problems)
        raise AdministratorError("\n".join(lines))
    return file


def decode(data: bytes, where: str) -> str:
    """Return the text of a file, without byte order mark, and with line feeds alone as line ends.

    Bytes that are not UTF-8 become surrogates, which the parser reports.  Raises AdministratorError
    for a file with null bytes.
    """
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        hint = "is it a text file at all? save it as UTF-8"
        raise AdministratorError(f"{where}: line {line}: expected text, not null bytes", hint)
    text = data.decode(errors="surrogateescape")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def parse_ini(text: str, *, base64_option: str = "") -> IniFile:
    """Parse the text of a file; the result has every problem in it.

    ``base64_option`` names an option with lines of base64.  The parser recognizes them even without
    their indentation, and its messages never show them.
    """
    return _Parser(base64_option).parse(text)


class _Parser:
    """Parses a text line by line, or several plain lines at once."""

    def __init__(self, base64_option: str) -> None:
        self._base64_option = base64_option
        self._default = Section(DEFAULT, 0, {})
        self._sections: dict[str, Section] = {}
        self._section: Section | None = None
        self._problems: list[Problem] = []
        self._damaged: set[str] = set()
        self._headless = Section("", 0, {})
        self._names: dict[str, str] = {}
        self._plain = True
        self._line = 1
        self._indent = 0
        self._option = ""
        self._begun = 0
        self._lines: list[str] = []
        self._blank_lines = 0
        self._skipping = False
        self._last = ""
        self._last_misplaced: Section | None = None

    def parse(self, text: str) -> IniFile:
        position = 0
        self._plain = not _SURROGATE.search(text)
        while position < len(text) and len(self._problems) < _PROBLEM_LIMIT:
            if self._plain and (match := _PLAIN.match(text, position)):
                self._take_plain(match)
                position = match.end()
            elif self._plain and (match := _PLAIN_HEADER.match(text, position)):
                self._take_plain_header(match)
                position = match.end()
            else:
                end = text.find("\n", position)
                end = len(text) if end < 0 else end
                self._take_line(text[position:end])
                position = end + 1
        self._end_option()
        sections = [self._sections[name] for name in self._sections if name not in self._damaged]
        if position < len(text):
            self._problems.append(Problem(self._line, "too many mistakes: the rest is not read"))
        sound = DEFAULT not in self._damaged
        damaged = frozenset(self._damaged - {DEFAULT, ""})
        headless = self._headless.options
        return IniFile(self._default.options, sections, self._problems, sound, damaged, headless)

    def _take_plain(self, match: re.Match[str]) -> None:
        first, name, value, lines = match.groups()
        self._end_option()
        self._indent = 0
        self._begin_option(name, value.strip(), first)
        self._line += 1
        if lines:
            self._lines.append(_stripped(lines))
            self._line += lines.count("\n")

    def _take_plain_header(self, match: re.Match[str]) -> None:
        above, name = match.groups()
        self._end_option()
        self._indent = 0
        self._line += len(above)
        self._begin_section(name)
        self._line += 1

    def _take_line(self, line: str) -> None:
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if not text:
            self._blank_lines += 1
        elif text[0] in "#;":
            pass
        elif not self._plain and _SURROGATE.search(text):
            self._take_undecoded(text, indent)
        elif (self._option or self._skipping) and indent > self._indent:
            self._continue(text)
        else:
            self._end_option()
            self._indent = indent
            self._begin(text)
        self._line += 1

    def _take_undecoded(self, text: str, indent: int) -> None:
        """Take a line that is not UTF-8: a problem of its section, or of the one that it begins."""
        if self._option and indent > self._indent:
            self._option = ""
            self._lines.clear()
        self._end_option()
        if (header := _HEADER.match(text)) and indent <= self._indent:
            self._begin_section(header[1])
        self._problem("not UTF-8 text; save the file as UTF-8")

    def _continue(self, text: str) -> None:
        if self._blank_lines:
            self._lines.append("\n" * (self._blank_lines - 1))
            self._blank_lines = 0
        self._lines.append(text)

    def _begin(self, text: str) -> None:
        if header := _HEADER.match(text):
            self._begin_section(header[1])
        elif text[0] == "[" and not _SIGN.search(text):
            self._begin_section(text)
            self._problem("expected [section] or option = value")
        elif (sign := _SIGN.search(text)) and sign.start():
            self._begin_option(text[: sign.start()].rstrip(), text[sign.end() :].lstrip(), text)
        elif self._follows_base64 and _BASE64.fullmatch(text):
            self._misplaced()
        else:
            self._problem("expected [section] or option = value")

    def _begin_section(self, name: str) -> None:
        self._last = ""
        if name == DEFAULT:
            self._section = self._default
        elif name in self._sections:
            first = self._sections[name].line
            self._section = Section(name, self._line, {})
            self._problem(f"there is a section {label(name)} at line {first} already")
        else:
            self._section = self._sections[name] = Section(name, self._line, {})

    def _begin_option(self, written: str, value: str, line: str) -> None:
        name = self._names.get(written) or self._names.setdefault(written, written.lower())
        if self._section is None:
            self._section = self._headless
            self._problem("a [section] must come before the first option")
            self._skipping = False
        if self._follows_base64 and _is_base64_end(line.strip()):
            self._misplaced()
        elif name in self._section.options:
            first = self._section.options[name].line
            where = label(self._section.name)
            what = plain_name(name, value) or "this option"
            self._problem(f"{where} has {what} at line {first} already")
        else:
            self._option = self._last = name
            self._begun = self._line
            self._lines.append(value)

    def _end_option(self) -> None:
        if self._option and self._section is not None:
            text = self._lines[0] if len(self._lines) == 1 else "\n".join(self._lines)
            self._section.options[self._option] = Value(text, self._begun)
        self._option = ""
        self._skipping = False
        self._blank_lines = 0
        self._lines.clear()

    @property
    def _follows_base64(self) -> bool:
        return bool(self._last) and self._last == self._base64_option

    def _misplaced(self) -> None:
        """Report lines of base64 that are not indented: once for a section, without the data."""
        if self._last_misplaced is not self._section:
            option = self._base64_option
            self._problem(f"is this a continuation of {option}? then indent it")
        self._last_misplaced = self._section

    def _problem(self, problem: str) -> None:
        """Note a problem; the lines that continue this one are skipped."""
        self._problems.append(Problem(self._line, problem))
        self._skipping = True
        if self._section is not None:
            self._damaged.add(self._section.name)


def _stripped(lines: str) -> str:
    """Return lines of base64 without their indentation; fast when it is the same in all lines."""
    indent = lines[: len(lines) - len(lines.lstrip())]
    text = lines[len(indent) : -1].replace(f"\n{indent}", "\n")
    return "\n".join(lines.split()) if " " in text or "\t" in text else text


def _is_base64_end(line: str) -> bool:
    """Return whether a line is the end of base64, not an option without a value."""
    return len(line) % 4 == 0 and bool(_BASE64.fullmatch(line)) and not _WORD.fullmatch(line)


def expand(text: str, options: Mapping[str, Value]) -> str:
    """Replace ``%(name)s`` by the option of that name, and ``%%`` by a percent sign.

    Raises ValueError with a description of a valid value.
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
