# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of mandos-ctl: what goes together, and each contradiction's own message."""

from __future__ import annotations

import contextlib
import itertools
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.admin.ctl.acts import (
    Decide,
    Remove,
    SetProperty,
    SetSecret,
    make_ready,
    read_duration,
)
from mandos.admin.ctl.adding import split_sections
from mandos.admin.ctl.command_line import Command, Mode, parse, parser
from mandos.errors import AdministratorError, UsageError

MODES = ("--is-enabled", "--why", "--log", "--watch", "--reload", "--check", "--names")
ACTS = {
    "--enable": (), "--disable": (), "--bump-timeout": (), "--start-checker": (),
    "--stop-checker": (), "--remove": (), "--checker": ("x",), "--timeout": ("PT5M",),
    "--extended-timeout": ("PT5M",), "--interval": ("PT5M",), "--approve-by-default": (),
    "--deny-by-default": (), "--approval-delay": ("PT5M",), "--approval-duration": ("PT5M",),
    "--host": ("x",), "--secret": ("x",), "--approve": (), "--deny": (),
}  # fmt: skip
OPPOSITES = (
    ("--enable", "--disable"), ("--start-checker", "--stop-checker"), ("--approve", "--deny"),
    ("--approve-by-default", "--deny-by-default"),
)  # fmt: skip


def _error(*words: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(words)
    return str(caught.value)


def test_the_manual_has_every_option() -> None:
    """Each option has a place of its own in mandos-ctl(8), and nothing else has."""
    page = (Path(__file__).parents[4] / "man" / "mandos-ctl.8").read_text(encoding="utf-8")
    tagged = re.findall(r"^\.TP\n(\..*)$", page.replace("\\-", "-"), re.MULTILINE)
    told = set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", " ".join(tagged)))
    # Sub-commands of completion are no options; --names is what completion asks for.
    assert told == set(parser()._option_string_actions) - {"--names"}


def test_nothing_given() -> None:
    """Without any words all clients are listed."""
    assert parse([]) == Command()


def test_acts_keep_their_order() -> None:
    """Actions are done in the order of the command line, among and after the names."""
    command = parse(["a", "-t", "5m", "-e", "b", "-c", "ping", "-A", "-s", "f", "a"])
    assert command.mode is Mode.ACT
    assert command.names == ("a", "b")
    assert command.acts == (
        SetProperty("--timeout", "Timeout", timedelta(minutes=5)),
        SetProperty("--enable", "Enabled", value=True),
        SetProperty("--checker", "Checker", "ping"),
        Decide("--approve", approve=True),
        SetSecret("--secret", "f"),
    )


def test_removing_comes_last() -> None:
    """Who is to be denied and removed is denied first."""
    ready = make_ready(parse(["-r", "-D", "a"]).acts, pytest.fail)
    assert ready == [Decide("--deny", approve=False), Remove("--remove")]


def test_names_after_two_dashes() -> None:
    """After -- everything is a name, though it may look like an option."""
    command = parse(["-e", "a", "--", "-d", "--all", "--"])
    assert command.names == ("a", "-d", "--all", "--")
    assert [act.option for act in command.acts] == ["--enable"]


@pytest.mark.parametrize("word", ["-j", "--dump-json", "--json", "--dump"])
def test_ways_to_say_json(word: str) -> None:
    """The reference's options for JSON, its abbreviations, and ours."""
    assert parse([word]).json
    assert parse([word, "--log", "a"]) == Command(Mode.LOG, ("a",), json=True)


@pytest.mark.parametrize(("one", "other"), OPPOSITES)
def test_opposites(one: str, other: str) -> None:
    """Each pair of opposites is named, with the reason."""
    assert _error(one, other, "a").startswith(f"{one} and {other} contradict each other: ")
    assert _error(other, one, "a").startswith(f"{one} and {other} contradict each other: ")


@pytest.mark.parametrize("act", sorted(ACTS.keys() - {"--remove", "--deny"}))
def test_remove_goes_with_deny_only(act: str) -> None:
    """Any other action would be lost with the client."""
    assert "--remove can only be combined with --deny" in _error(act, *ACTS[act], "-r", "a")
    assert act in _error("--remove", act, *ACTS[act], "a")


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(MODES, 2)))
def test_two_things_to_do(one: str, other: str) -> None:
    """Of two modes both are named."""
    error = _error(one, other, "a")
    assert one in error
    assert other in error


@pytest.mark.parametrize("act", sorted(ACTS))
@pytest.mark.parametrize("mode", [*MODES, "-v", "-j"])
def test_looking_and_acting(mode: str, act: str) -> None:
    """What only looks is not combined with what changes; both are named."""
    error = _error(mode, act, *ACTS[act], "a")
    assert {"-v": "--verbose", "-j": "--dump-json"}.get(mode, mode) in error
    assert act in error


@pytest.mark.parametrize("act", sorted(ACTS))
def test_acts_need_clients(act: str) -> None:
    """An action for nobody is a mistake; --all must be said."""
    assert _error(act, *ACTS[act]) == f"{act} needs names of clients, or --all"
    assert parse([act, *ACTS[act], "--all"]).names == ()
    assert "--all and names" in _error(act, *ACTS[act], "--all", "a")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--all"], "--all requires an action"),
        (["--all", "--log"], "--all requires an action, and --log is none"),
        (["--verbose", "--json"], "--verbose and --dump-json"),
        (["--is-enabled"], "exactly one client's name, not none"),
        (["--is-enabled", "a", "b"], "exactly one client's name, not 2"),
        (["--why"], "--why needs a client's name"),
        (["--reload", "a"], "--reload takes no names"),
        (["--add", "f", "a"], "--add takes no names"),
        (["--log", "--verbose"], "--verbose cannot be combined with --log"),
        (["--why", "--json", "a"], "--dump-json cannot be combined with --why"),
        (["--lines", "5"], "--lines goes with --log only"),
        (["--watch", "--lines", "5"], "--lines cannot be combined with --watch"),
        (["--log", "--lines", "-1"], "--lines"),
        (["--log", "--lines", "x"], "--lines"),
        (["--completion", "csh"], "csh"),
        (["--bogus"], "--bogus"),
        (["--timeout"], "--timeout"),
        (["--host", "\udcff", "a"], "--host: the text is not UTF-8"),
        (["--checker", "\udcff", "a"], "--checker: the text is not UTF-8"),
    ],
    ids=str,
)
def test_other_mistakes(words: list[str], said: str) -> None:
    """Every other mistake says which option is meant."""
    assert said in _error(*words)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT5M30S", 330), ("P1W", 604800), ("5m 30s", 330), ("1h30m", 5400), ("1w2d", 777600),
        (" 5m", 300), ("2s1m", 62), ("PT0S", 0), ("0s", 0), ("P1Y", 31449600),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: int) -> None:
    """All forms that the reference reads, where they mean what they seem to mean."""
    assert read_duration("--timeout", text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "x", "90", "5m5", "5x", "1W", "PT", "PT1H5S", "PT5.5M", "-5m", "5 m", "pt5m"]
)
def test_no_durations(text: str) -> None:
    """The reference makes milliseconds or nothing of these, which disables a client at once."""
    with pytest.raises(UsageError, match=r"^--timeout: ") as caught:
        read_duration("--timeout", text)
    assert caught.value.hint


@given(st.text(max_size=30))
def test_any_duration(text: str) -> None:
    """Any text is a duration or a usage error."""
    with contextlib.suppress(UsageError):
        assert read_duration("-t", text) >= timedelta()


def test_sections() -> None:
    """Each section keeps its own lines, comments and blank lines included."""
    text = "# made by\n; hand\n\n[a]\nx = 1\n# more\n\n[b c]\nsecret =\n  [YWJj]\n"
    assert split_sections(text, "f") == [
        ("a", "[a]\nx = 1\n# more\n\n"),
        ("b c", "[b c]\nsecret =\n  [YWJj]\n"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f has no section"),
        ("# nothing\n", "f has no section"),
        ("x = 1\n[a]\n", "f: line 1: a section must come first"),
        ("[a]\n[DEFAULT]\n", "cannot be added"),
    ],
)
def test_no_sections(text: str, said: str) -> None:
    """What is no list of sections is refused before anything is added."""
    with pytest.raises(AdministratorError, match=said):
        split_sections(text, "f")
