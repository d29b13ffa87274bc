# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any words in plugin-runner's command line and configuration file; any bytes from its plugins."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.boot.runner.relay import SILENCE, Relay
from mandos.boot.runner.settings import COMMAND_LINE, RunnerSettings, read_settings, split_config
from mandos.errors import UsageError

NAMES = st.sampled_from(["foo", "bar", "mandos-client"])
#: What the manual page allows: no blanks and no # within a word of the file.
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="#"),
                min_size=1)  # fmt: skip
VARIABLES = st.tuples(st.sampled_from(["A", "B", "C"]), WORDS)
#: Options as a person could write them, right or wrong.
ANY_OPTION = st.one_of(
    st.sampled_from([f"--{option.long}" for option in COMMAND_LINE.options]),
    st.sampled_from([f"-{option.short}" for option in COMMAND_LINE.options if option.short]),
    st.builds("--{}={}".format, st.sampled_from(COMMAND_LINE.options).map(lambda o: o.long), WORDS),
    WORDS,
)
ANY_WORDS = st.lists(ANY_OPTION, max_size=12)


def _settings(words: list[str]) -> RunnerSettings:
    said: list[str] = []
    return RunnerSettings(COMMAND_LINE.parse(words), said.append)


@given(ANY_WORDS)
def test_any_command_line_is_read_or_refused(words: list[str]) -> None:
    """One class of errors leaves the parser."""
    with suppress(UsageError):
        _settings(words)


@given(ANY_WORDS)
def test_a_lenient_reading_keeps_all_that_is_right(words: list[str]) -> None:
    """Where the strict reading succeeds it is the same; else it says what it left out."""
    lenient, errors = COMMAND_LINE.parse_lenient(words)
    if errors:
        with pytest.raises(UsageError, match=re.escape(str(errors[0]))):
            COMMAND_LINE.parse(words)
    else:
        assert lenient.pairs == COMMAND_LINE.parse(words).pairs


@given(st.binary(max_size=300))
def test_any_configuration_file_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Whatever is in the file, the program goes on, with what it could make of it."""
    path = tmp_path_factory.getbasetemp() / "runner.conf"
    path.write_bytes(data)
    said: list[str] = []
    read_settings(COMMAND_LINE.parse([f"--config-file={path}"]), said.append)
    path.unlink()


@given(st.lists(st.tuples(WORDS, st.sampled_from([" ", "\n", "\t", " # -x\n", "#\n", "\n#y z\n"]))))
def test_words_come_out_of_a_file_as_they_went_in(parts: list[tuple[str, str]]) -> None:
    """Blanks separate, comments vanish; shlex with the same rules agrees."""
    text = "".join(word + blank for word, blank in parts)
    assert split_config(text) == [word for word, _blank in parts]
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.quotes = lexer.escape = ""
    lexer.commenters = "#"
    assert split_config(text) == list(lexer)


@given(st.lists(VARIABLES), st.lists(st.tuples(NAMES, VARIABLES)), st.permutations(range(2)))
def test_environments(
    everybody: list[tuple[str, str]],
    some: list[tuple[str, tuple[str, str]]],
    order: list[int],
) -> None:
    """The last of a plugin's own variables counts, then the last global one, then the inherited."""
    both = [
        [f"--global-env={name}={value}" for name, value in everybody],
        [f"--env-for={plugin}:{name}={value}" for plugin, (name, value) in some],
    ]
    built = _settings(both[order[0]] + both[order[1]])
    inherited = {"A": "inherited", "D": "inherited"}
    for plugin in ("foo", "bar"):
        own = [variable for name, variable in some if name == plugin]
        expected = inherited | dict(everybody) | dict(own)
        found = built.environment(plugin, inherited)
        assert found.pop("MANDOSPLUGINHELPERDIR") == "/lib/mandos/plugin-helpers"
        assert found == expected


@given(st.lists(st.tuples(NAMES, st.lists(WORDS.filter(lambda word: "," not in word), min_size=1))))
def test_options_reach_their_plugin_only(given_options: list[tuple[str, list[str]]]) -> None:
    """Each in its place, in order."""
    built = _settings([f"--options-for={name}:{','.join(words)}" for name, words in given_options])
    for plugin in ("foo", "bar", "mandos-client"):
        own = [words for name, words in given_options if name == plugin]
        assert built.arguments(plugin) == [word for words in own for word in words]


@given(st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=30), st.booleans())
def test_no_line_is_lost_or_torn(pieces: list[tuple[str, bytes]], silence: bool) -> None:  # noqa: FBT001 - hypothesis calls it
    """Whatever plugins say in whatever pieces, each one's own words come out in order."""
    reading, writing = os.pipe()
    relay = Relay(writing)
    for number, (name, data) in enumerate(pieces):
        relay.feed(name, data, float(number))
        if silence:
            relay.show_halves(number + SILENCE)
    for name in ("foo", "bar", "mandos-client"):
        relay.end(name)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        shown = file.read()
    for name in ("foo", "bar", "mandos-client"):
        said = b"".join(data for source, data in pieces if source == name)
        prefix = os.fsencode(f"{name}: ")
        own = [line for line in shown.split(b"\n") if line.startswith(prefix)]
        kept = b"".join(line.removeprefix(prefix) for line in own)
        assert kept == said.replace(b"\n", b"")
