# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of mandos-ctl: its options, and which of them go together.

Out comes a Command that can be carried out.  Every contradiction has a message of its own; the
reference finds only some of them, and does something or other with the rest.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

import mandos
from mandos.admin.ctl.acts import Act, Decide, Remove, SetProperty, SetSecret
from mandos.admin.ctl.acts import read_duration as duration
from mandos.admin.ctl.acts import read_text as text
from mandos.client_settings import BY_NAME, DURATIONS, ValueKind
from mandos.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mandos.client_settings import CtlOption, Setting

SHELLS = ("bash", "zsh", "fish")
_RECORDS = 1000


class Mode(Enum):
    """The mode of the program, named by its long option."""

    LIST = ""
    ACT = "acts"
    IS_ENABLED = "--is-enabled"
    LOG = "--log"
    WATCH = "--watch"
    WHY = "--why"
    SERVERS = "--servers"
    ADD = "--add"
    RELOAD = "--reload"
    CHECK = "--check"
    COMPLETION = "--completion"
    NAMES = "--names"


#: A description of each mode, for the messages about options that it excludes.
_DOES = {
    Mode.LIST: "shows settings",
    Mode.IS_ENABLED: "only asks whether a client is enabled",
    Mode.LOG: "shows the audit trail",
    Mode.WATCH: "shows what happens",
    Mode.WHY: "only explains",
    Mode.SERVERS: "shows the servers",
    Mode.ADD: "adds the clients of a file",
    Mode.RELOAD: "has the server read its configuration",
    Mode.CHECK: "only looks whether everything is in order",
    Mode.COMPLETION: "only prints a script",
    Mode.NAMES: "only prints names",
}
_WITH_NAMES = frozenset((Mode.LIST, Mode.ACT, Mode.IS_ENABLED, Mode.LOG, Mode.WATCH, Mode.WHY))
_WITH_VERBOSE = frozenset((Mode.LIST, Mode.WATCH))
_WITH_JSON = frozenset((Mode.LIST, Mode.LOG, Mode.WATCH, Mode.SERVERS))
#: Options of which only one can be meant.
_OPPOSITES = (
    ("--enable", "--disable", "a client is either enabled or disabled"),
    ("--start-checker", "--stop-checker", "a checker is either started or stopped"),
    ("--approve", "--deny", "a request is either approved or denied"),
    ("--approve-by-default", "--deny-by-default", "there is one default"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command line that makes sense."""

    mode: Mode = Mode.LIST
    names: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()
    verbose: bool = False
    json: bool = False
    debug: bool = False
    lines: int = _RECORDS
    #: The file of --add, or the shell of --completion.
    argument: str = ""


class _ActAction(argparse.Action):
    """Adds an act, which ``make`` makes of the option's name and its value."""

    def __init__(self, *, make: Callable[[str, Any], Act], **how: Any) -> None:  # noqa: ANN401
        super().__init__(**{"dest": "acts", "default": [], **how})
        self._make = make

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - argparse's
        _option_string: str | None = None,
    ) -> None:
        namespace.acts = [*namespace.acts, self._make(self.option_strings[-1], values)]


class _ModeAction(argparse.Action):
    """Adds a mode, with the option's value if it takes one."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - argparse's
        option_string: str | None = None,
    ) -> None:
        del option_string
        namespace.modes = [*namespace.modes, Mode(self.option_strings[-1])]
        if isinstance(values, str):
            namespace.argument = values


def _property(name: str, value: Any) -> Callable[[str, Any], Act]:  # noqa: ANN401
    """An act that gives a property this value."""
    return lambda option, _given: SetProperty(option, name, value)


def _given(name: str, read: Callable[[str, str], Any]) -> Callable[[str, Any], Act]:
    """An act that gives a property the value of the command line."""
    return lambda option, given: SetProperty(option, name, read(option, given))


_Row = tuple[tuple[str, ...], Any, str, str]
#: The first settings whose options --help shows; the others follow in the order of their rows.
_FIRST = (
    "checker", "timeout", "extended_timeout", "interval", "approved_by_default", "approval_delay",
    "approval_duration", "host", "secret",
)  # fmt: skip


def _setting_acts() -> Iterator[_Row]:
    """The acts that change settings."""
    for name in dict.fromkeys((*_FIRST, *BY_NAME)):
        setting = BY_NAME[name]
        for option in setting.options:
            yield option.strings, _act_on(setting, option), option.metavar, option.help


def _act_on(setting: Setting, option: CtlOption) -> Callable[[str, Any], Act]:
    if not option.metavar:
        return _property(setting.property_name, option.value)
    if setting.kind is ValueKind.SECRET:
        return SetSecret
    return _given(setting.property_name, duration if setting.kind in DURATIONS else text)


#: Acts: option strings, the act made of them, the value's name if one is taken, and the help.
_ACTS: tuple[_Row, ...] = (
    (("-e", "--enable"), _property("Enabled", value=True), "", "enable"),
    (("-d", "--disable"), _property("Enabled", value=False), "", "disable"),
    (("-b", "--bump-timeout"), _property("LastCheckedOK", ""), "", "restart the timeout"),
    (("--start-checker",), _property("CheckerRunning", value=True), "", "start a checker now"),
    (("--stop-checker",), _property("CheckerRunning", value=False), "", "stop a running checker"),
    (("-r", "--remove"), lambda option, _: Remove(option), "", "remove from the server"),
    *_setting_acts(),
    (("-A", "--approve"), lambda option, _: Decide(option, approve=True), "", "approve it now"),
    (("-D", "--deny"), lambda option, _: Decide(option, approve=False), "", "deny it now"),
)  # fmt: skip
_MODES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-V", "--is-enabled"), {"nargs": 0, "help": "exit status 0 if CLIENT is enabled, else 1"}),
    (("--why",), {"nargs": 0, "help": "explain whether each CLIENT gets its secret now"}),
    (("--log",), {"nargs": 0, "help": "show the audit trail"}),
    (("--watch",), {"nargs": 0, "help": "show events until interrupted"}),
    (("--servers",), {"nargs": 0, "help": "show the servers that share the state"}),
    (("--add",), {"metavar": "FILE", "help": "add the clients of FILE, or - for stdin"}),
    (("--reload",), {"nargs": 0, "help": "have the server reload its configuration"}),
    (("--check",), {"nargs": 0, "help": "check that the server can be reached"}),
    (("--completion",), {"choices": SHELLS, "help": "print a completion script for the shell"}),
    (("--names",), {"nargs": 0, "help": argparse.SUPPRESS}),
)
_FLAGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("-a", "--all"), "all", "all clients instead of names"),
    (("-v", "--verbose"), "verbose", "show all settings; with --watch, all events"),
    (("-j", "--dump-json", "--json"), "json", "print JSON"),
    (("--debug",), "debug", "show D-Bus calls"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line, for the program, its completion scripts and its tests."""
    made = _Parser(
        "mandos-ctl",
        usage="%(prog)s [--verbose | --json] [CLIENT ...]\n"
        "       %(prog)s ACTION ... {--all | CLIENT ...}\n"
        "       %(prog)s {--is-enabled | --why | --log | --watch} [--json] [CLIENT ...]\n"
        "       %(prog)s --servers [--json]\n"
        "       %(prog)s {--add FILE | --reload | --check | --completion SHELL}",
        description="Shows and changes the clients of a Mandos server.",
    )
    made.set_defaults(modes=[], acts=[], argument="")
    made.add_argument("--version", action="version", version=f"%(prog)s {mandos.__version__}")
    made.add_argument("names", nargs="*", metavar="CLIENT", help="a client's name")
    for strings, name, help_text in _FLAGS:
        made.add_argument(*strings, action="store_true", dest=name, help=help_text)
    group = made.add_argument_group("other modes")
    for strings, how in _MODES:
        group.add_argument(*strings, action=_ModeAction, dest="modes", default=[], **how)
    group.add_argument(
        "-n", "--lines", type=int, metavar="N", help=f"show N records at most (0: all; {_RECORDS})"
    )
    group = made.add_argument_group("actions, in the order given")
    for strings, make, metavar, help_text in _ACTS:
        taking: dict[str, Any] = {"metavar": metavar} if metavar else {"nargs": 0}
        group.add_argument(*strings, action=_ActAction, make=make, help=help_text, **taking)
    return made


def parse(arguments: Sequence[str] | None) -> Command:
    """Read the command line; raises UsageError, or exits after --help and --version."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    end = words.index("--") if "--" in words else len(words)
    given = parser().parse_intermixed_args(words[:end])  # would read options after -- as well
    given.names += words[end + 1 :]
    mode = _mode(given)
    _judge_acts(given.acts)
    _judge_forms(mode, given)
    _judge_names(mode, given)
    return Command(
        mode=mode,
        names=tuple(dict.fromkeys(given.names)),
        acts=tuple(given.acts),
        verbose=given.verbose,
        json=given.json,
        debug=given.debug,
        lines=_RECORDS if given.lines is None else given.lines,
        argument=given.argument,
    )


def _mode(given: argparse.Namespace) -> Mode:
    modes = list(dict.fromkeys(given.modes))
    if len(modes) > 1:
        raise UsageError(
            f"{modes[0].value} {_DOES[modes[0]]}, and {modes[1].value} {_DOES[modes[1]]}",
            "run mandos-ctl once for each",
        )
    if modes and given.acts:
        raise UsageError(
            f"{modes[0].value} {_DOES[modes[0]]}, and cannot be combined with"
            f" {given.acts[0].option}",
            "run mandos-ctl once for each",
        )
    if modes:
        return Mode(modes[0])
    return Mode.ACT if given.acts else Mode.LIST


def _judge_acts(acts: Iterable[Act]) -> None:
    options = {act.option: act for act in acts}
    for one, other, fact in _OPPOSITES:
        if one in options and other in options:
            raise UsageError(f"{one} and {other} contradict each other: {fact}")
    if "--remove" in options:
        for option in options:
            if option not in {"--remove", "--deny"}:
                raise UsageError(
                    f"--remove can only be combined with --deny: {option} is lost with the client"
                )


def _judge_forms(mode: Mode, given: argparse.Namespace) -> None:
    """How to show things goes only with showing them."""
    if given.verbose and given.json and mode is Mode.LIST:
        raise UsageError("--verbose and --dump-json are two ways to show settings: choose one")
    for is_given, option, fits in (
        (given.verbose, "--verbose", _WITH_VERBOSE),
        (given.json, "--dump-json", _WITH_JSON),
        (given.lines is not None, "--lines", {Mode.LOG}),
    ):
        if is_given and mode not in fits:
            other = given.acts[0].option if mode is Mode.ACT else mode.value
            where = f"cannot be combined with {other}" if other else "goes with --log only"
            raise UsageError(f"{option} {where}")
    if (given.lines or 0) < 0:
        raise UsageError(f"--lines takes a number from 0 on, not {given.lines}")


def _judge_names(mode: Mode, given: argparse.Namespace) -> None:
    acts, names = given.acts, given.names
    if given.all and mode is not Mode.ACT:
        raise UsageError(
            f"--all requires an action{f', and {mode.value} is none' if mode.value else ''}",
            "without names, mandos-ctl shows all clients",
        )
    if given.all and names:
        raise UsageError("--all and names of clients contradict each other: choose one")
    if mode is Mode.ACT and not (given.all or names):
        raise UsageError(f"{acts[0].option} needs names of clients, or --all")
    if mode is Mode.IS_ENABLED and len(names) != 1:
        raise UsageError(
            f"--is-enabled needs exactly one client's name, not {len(names) or 'none'}"
        )
    if mode is Mode.WHY and not names:
        raise UsageError("--why needs a client's name")
    if names and mode not in _WITH_NAMES:
        raise UsageError(f"{mode.value} takes no names of clients, as {names[0]!r} would be one")
