# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines of the early-boot programs: one row per option feeds the parser and the help.

GNU conventions: ``--long=VALUE``, ``--long VALUE``, unambiguous beginnings of long names,
``-xVALUE``, ``-x VALUE``, ``--`` ends the options.  The standard library's argparse understands
them too, but importing it costs a third of the start of a small program, at every boot.
"""

from __future__ import annotations

import mandos
from mandos.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HELP_COLUMN = 30


class Option:
    """One row: names without dashes, the value's name (none for a flag), a line of help."""

    __slots__ = ("help", "long", "short", "value")

    def __init__(self, long: str, short: str, value: str | None, text: str) -> None:
        self.long = long
        self.short = short
        self.value = value
        self.help = text

    @property
    def synopsis(self) -> str:
        """How the option is written: ``-c, --connect=ADDRESS:PORT``."""
        short = f"-{self.short}, " if self.short else "    "
        return f"{short}--{self.long}" + (f"={self.value}" if self.value else "")


class ParsedOptions:
    """The options of one command line, in order; the last one counts unless all do.

    ``operands`` are the remaining arguments, which are no options.
    """

    __slots__ = ("_values", "operands")

    def __init__(self, values: list[tuple[str, str]], operands: Sequence[str] = ()) -> None:
        self._values = values
        self.operands = list(operands)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Name and value of every option, in order."""
        return list(self._values)

    def __add__(self, later: ParsedOptions) -> ParsedOptions:
        """These options, then the later ones, which count where only the last one does."""
        return ParsedOptions(self._values + later.pairs)

    def __contains__(self, name: str) -> bool:
        return any(name == given for given, _value in self._values)

    def all(self, name: str) -> list[str]:
        """Every value of an option that may be repeated."""
        return [value for given, value in self._values if given == name]

    def text(self, name: str, default: str) -> str:
        """The last value, or the default."""
        return (self.all(name) or [default])[-1]

    def seconds(self, name: str, default: float) -> float:
        """The last value as a number of seconds, zero or more and finite."""
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise UsageError(f"--{name} takes a number of seconds, not {text!r}")
        return value

    def number(self, name: str, default: int) -> int:
        """The last value as a whole number, zero or more."""
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"--{name} takes a whole number, not {text!r}")
        return int(text)


HELP = Option("help", "?", None, "show this help and exit")
USAGE = Option("usage", "", None, "show a short usage message and exit")
VERSION = Option("version", "V", None, "show the version and exit")


class CommandLine:
    """A program's name, its purpose, its options, and how its operands are written, if any."""

    __slots__ = ("operands", "options", "program", "purpose")

    def __init__(
        self, program: str, purpose: str, options: Sequence[Option], operands: str = ""
    ) -> None:
        self.program = program
        self.purpose = purpose
        self.options = (*options, HELP, USAGE, VERSION)
        self.operands = operands

    def parse(self, arguments: Sequence[str]) -> ParsedOptions:
        """Read a command line.  Raises UsageError for options that the table does not have."""
        operands: list[str] = []
        return ParsedOptions(list(self._pairs(iter(arguments), operands)), operands)

    def parse_lenient(self, arguments: Sequence[str]) -> tuple[ParsedOptions, list[UsageError]]:
        """Read the valid words, and return the error of each word that was skipped."""
        rest = iter(arguments)
        pairs: list[tuple[str, str]] = []
        operands: list[str] = []
        errors: list[UsageError] = []
        while True:
            try:
                pairs.extend(self._pairs(rest, operands))
            except UsageError as error:
                errors.append(error)
            else:
                return ParsedOptions(pairs, operands), errors

    def answer(self, given: ParsedOptions) -> str | None:
        """The text to print instead of working, when help or the version is asked for."""
        if "help" in given:
            return self.help()
        if "usage" in given:
            return self.usage()
        if "version" in given:
            return f"{self.program} {mandos.__version__}"
        return None

    def usage(self) -> str:
        """All options on as few lines as they need."""
        words = [f"[{option.synopsis.strip().replace(', ', '|')}]" for option in self.options]
        return " ".join((f"usage: {self.program}", *words, *filter(None, [self.operands])))

    def help(self) -> str:
        """The long help, a line for each option."""
        rows = (f"  {option.synopsis:<{_HELP_COLUMN}}  {option.help}" for option in self.options)
        usage = f"usage: {self.program} [OPTION]... {self.operands}".rstrip()
        return "\n".join((usage, self.purpose, "", *rows))

    def _pairs(self, arguments: Iterator[str], operands: list[str]) -> Iterator[tuple[str, str]]:
        for argument in arguments:
            if argument == "--":
                self._take_rest(list(arguments), operands)
            elif argument.startswith("--"):
                yield self._long(argument[2:], arguments)
            elif argument.startswith("-") and argument != "-":
                yield from self._short(argument[1:], arguments)
            else:
                self._take_rest([argument], operands)

    def _take_rest(self, rest: list[str], operands: list[str]) -> None:
        if rest and not self.operands:
            raise UsageError(f"{rest[0]!r} is not an option", self._hint(rest[0]))
        operands += rest

    def _long(self, text: str, rest: Iterator[str]) -> tuple[str, str]:
        name, equals, value = text.partition("=")
        option = self._named(name)
        if option.value is None:
            if equals:
                raise UsageError(f"--{option.long} takes no value")
            return option.long, ""
        return option.long, value if equals else self._next(option, rest)

    def _short(self, letters: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
        while letters:
            letter, letters = letters[0], letters[1:]
            option = next((row for row in self.options if row.short == letter), None)
            if option is None:
                raise UsageError(f"unknown option -{letter}", f"see {self.program} --help")
            if option.value is not None:
                yield option.long, letters or self._next(option, rest)
                return
            yield option.long, ""

    def _named(self, name: str) -> Option:
        found = [row for row in self.options if row.long.startswith(name)]
        exact = [row for row in found if row.long == name]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            choices = ", ".join(f"--{row.long}" for row in found)
            raise UsageError(f"--{name} could mean {choices}", "write the option out")
        raise UsageError(f"unknown option --{name}", self._hint(name))

    def _hint(self, word: str) -> str:
        """The option that may have been meant, or where to find them all."""
        from mandos.spelling import nearest  # noqa: PLC0415 - an error's hint alone needs it

        name = nearest(word.lstrip("-").partition("=")[0], [row.long for row in self.options])
        return f"did you mean --{name}?" if name else f"see {self.program} --help"

    def _next(self, option: Option, rest: Iterator[str]) -> str:
        value = next(rest, None)
        if value is None:
            raise UsageError(f"--{option.long} needs a value ({option.value})")
        return value
