# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the server: configparser as the oracle, a model that writes them, and rubbish."""

from __future__ import annotations

import base64
import configparser
import contextlib
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mandos.client_settings import SETTINGS, ClientSettings, ValueKind
from mandos.durations import format_duration
from mandos.errors import AdministratorError
from mandos.server.config.clients_conf import READERS, load_clients
from mandos.server.config.inifile import expand, read_ini
from mandos.server.config.server_conf import ROWS, load

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    import pytest

PIECES = st.sampled_from([
    "\n", "\n", "\n", " ", "\t", "[", "]", "[foo]", "[bar]", "[DEFAULT]", "=", ":", "#", ";", "%",
    "%%", "%(", ")s", "%(host)s", "%(a)s", "host", "HOST", "a", "key_id", "secret", "timeout",
    "checker", "interval", "aGVsbG8=", "ab" * 32, "PT5M", "5m 30s", "é", "\r", "\f", "\x85", "\0",
])  # fmt: skip
LINES = st.sampled_from([
    "[foo]", "[bar]", "[DEFAULT]", "a = x", "b: y", "host = %(a)s-%(B)s", "  more", "\tand more",
    "", "# comment", "  ; comment", "  c = d", "A=1", "b", "=", "checker = %%(host)s 100%%%%",
    "secret = aGVsbG8=", "secret =", "  aGVs", "aGVsbG8=", "bG8=", f"key_id = {'ab' * 32}",
    "timeout = %(a)s", " [baz]", "[a] b] c",
])  # fmt: skip
SERVER_VALUES = ["", "0", "1", "no", "yes", "70000", "::1", "eth0", "hold", "1000", "x" * 64, "%"]
SERVER_LINES = st.builds(
    "{}{}{}".format,
    st.sampled_from([row.name for row in ROWS]),
    st.sampled_from(["=", ": "]),
    st.sampled_from(SERVER_VALUES) | st.text(),
)
SERVER_TEXTS = st.lists(SERVER_LINES).map(lambda lines: "\n".join(["[DEFAULT]", *lines]))
TEXTS = st.lists(PIECES).map("".join) | st.lists(LINES).map("\n".join) | st.text()


def _file(text: str, folder: str) -> Path:
    path = Path(folder) / "clients.conf"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def _ours(text: str) -> dict[str, dict[str, str | None]] | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = read_ini(_file(text, folder))
        except AdministratorError:
            return None
    sections: dict[str, dict[str, str | None]] = {}
    for section in file.sections:
        options = {**file.defaults, **section.options}
        sections[section.name] = {}
        for name, value in options.items():
            try:
                sections[section.name][name] = expand(value.text, options)
            except ValueError:
                sections[section.name][name] = None
    return sections


def _theirs(text: str) -> dict[str, dict[str, str | None]] | None:
    parser = configparser.ConfigParser()
    with tempfile.TemporaryDirectory() as folder:
        try:
            parser.read(_file(text, folder), encoding="utf-8-sig")
        except configparser.Error:
            return None
    sections: dict[str, dict[str, str | None]] = {}
    for name in parser.sections():
        sections[name] = {}
        for option in parser[name]:
            try:
                sections[name][option] = parser[name][option]
            except configparser.InterpolationError:
                sections[name][option] = None
    return sections


@settings(max_examples=300)
@given(TEXTS.map(lambda text: text.replace("\0", "")))
def test_files_are_read_as_configparser_reads_them(text: str) -> None:
    """Sections, options, continuation lines, comments and expansions agree, errors too."""
    assert _ours(text) == _theirs(text)


CONTENTS = TEXTS.map(str.encode) | st.binary()


@settings(max_examples=300)
@given(st.none() | CONTENTS, st.lists(CONTENTS, max_size=3))
def test_rubbish_raises_one_error_class(main: bytes | None, drop_ins: list[bytes]) -> None:
    """Whatever the bytes of all files, clients come out or an AdministratorError."""
    with tempfile.TemporaryDirectory() as folder:
        configdir = _configdir(folder, main, drop_ins)
        with contextlib.suppress(AdministratorError):
            assert all(client.secret for client in load_clients(configdir))


@settings(max_examples=300)
@given(CONTENTS | SERVER_TEXTS.map(str.encode))
def test_rubbish_as_mandos_conf(content: bytes) -> None:
    """Whatever the bytes, settings that hold together come out, or an AdministratorError."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mandos.conf").write_bytes(content)
        with contextlib.suppress(AdministratorError):
            loaded = load(["--configdir", folder])
            assert loaded.zeroconf or loaded.port or loaded.socket is not None
            assert 1 <= loaded.checkers <= 4096


def _configdir(folder: str, main: bytes | None, drop_ins: Sequence[bytes]) -> Path:
    configdir = Path(folder)
    (configdir / "clients.d").mkdir()
    if main is not None:
        (configdir / "clients.conf").write_bytes(main)
    for number, content in enumerate(drop_ins):
        (configdir / f"clients.d/{number}.conf").write_bytes(content)
    return configdir


# What a model writes is read back.  The words differ from file to file, never the meaning.

LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"])).filter(
    lambda text: not text.startswith(("#", ";"))
)
NAME = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["C", "Zl", "Zp", "Zs"], exclude_characters="]"
    ),
    min_size=1,
).filter(lambda text: text != "DEFAULT")
DURATIONS = st.integers(0, 10**9).map(lambda seconds: timedelta(seconds=seconds))
MORE_THAN_NOTHING = st.integers(1, 10**9).map(lambda seconds: timedelta(seconds=seconds))
CHECKER_PIECES = st.sampled_from(
    ["%%", "%(host)s", "%(name)s", " ", "ping", "\n", "ä", "=", ";", "x"]
)


def _tidy(text: str) -> str:
    """What can stand in a file: no blanks at the ends of lines, and no line that is a comment."""
    return "\n".join(line.strip().lstrip("; ") for line in text.strip().split("\n")).strip()


VALUES: dict[ValueKind, st.SearchStrategy[object]] = {
    ValueKind.TEXT: LINE,
    ValueKind.COMMAND: st.lists(CHECKER_PIECES).map("".join).map(_tidy),
    ValueKind.KEY_ID: st.binary(min_size=32, max_size=32).map(bytes.hex),
    ValueKind.FINGERPRINT: st.binary(max_size=64).map(bytes.hex),
    ValueKind.SECRET: st.binary(min_size=1, max_size=200),
    ValueKind.DURATION: DURATIONS,
    ValueKind.PERIOD: MORE_THAN_NOTHING,
    ValueKind.BOOLEAN: st.booleans(),
}
MODELS = st.builds(
    ClientSettings, name=NAME, **{setting.name: VALUES[setting.kind] for setting in SETTINGS}
)
TRUTHS = {True: ["1", "yes", "True", "ON"], False: ["0", "no", "False", "off"]}
NOISE = ["", "# a comment", ";", "  # indented", "unknown = 5", "\t"]


@dataclass
class Writer:
    """Writes clients as people and programs do, by random choices."""

    choice: random.Random

    def section(self, client: ClientSettings) -> str:
        """The client's section, its options in any order and form."""
        options = [self._option(*option) for option in self._options(client)]
        self.choice.shuffle(options)
        lines = [f"[{client.name}]"]
        for option in options:
            lines += [option, *self.choice.sample(NOISE[:-2], self.choice.randrange(2))]
        return self._ends("\n".join(lines) + "\n")

    def _options(self, client: ClientSettings) -> Iterator[tuple[str, str]]:
        yield "secret", self._base64(client.secret)
        yield "key_id", self._hex(client.key_id)
        for name in READERS.keys() - {"key_id"}:
            value = getattr(client, name)
            if value != getattr(PLAIN, name) or self.choice.random() < 0.3:
                yield name, self._value(value)

    def _value(self, value: object) -> str:
        if isinstance(value, bool):
            return self.choice.choice(TRUTHS[value])
        if isinstance(value, timedelta):
            seconds = int(value.total_seconds())
            return self.choice.choice([format_duration(value), f"{seconds}s", f"PT{seconds}S"])
        return str(value).replace("%", "%%").replace("\n", self.choice.choice(["\n ", "\n\t"]))

    def _hex(self, digits: str) -> str:
        cut = self.choice.randrange(len(digits))
        form = self.choice.choice([str.upper, str.lower])
        return form(f"{digits[:cut]} {digits[cut:]}")

    def _base64(self, data: bytes) -> str:
        text = base64.b64encode(data).decode()
        width = self.choice.choice([4, 60, 64, 76, 5000])
        return "".join(f"\n  {text[at : at + width]}" for at in range(0, len(text), width))

    def _option(self, name: str, value: str) -> str:
        form = self.choice.choice([str.upper, str.lower, str.title])
        return form(name) + self.choice.choice(["=", ":", " = ", ": ", "\t=\t"]) + value

    def _ends(self, text: str) -> str:
        return text.replace("\n", self.choice.choice(["\n", "\r\n"]))


PLAIN = ClientSettings(name="plain", secret=b"x")


@settings(max_examples=200)
@given(
    st.lists(MODELS, max_size=5, unique_by=(lambda one: one.name, lambda one: one.key_id)),
    st.lists(st.integers(0, 4), min_size=5, max_size=5),
    st.randoms(use_true_random=False),
)
def test_what_is_written_is_read_back(
    models: list[ClientSettings], cuts: list[int], choice: random.Random
) -> None:
    """Clients over several files, written in any form, are read back equal and in order."""
    writer = Writer(choice)
    files = ["", *[""] * 4]
    places = sorted(cuts)
    for model, place in zip(models, places, strict=False):
        files[place] += writer.section(model)
    bom = choice.choice(["", "\ufeff"])
    main, *drop_ins = ((bom + file).encode() for file in files)
    with tempfile.TemporaryDirectory() as folder:
        assert load_clients(_configdir(folder, main, drop_ins)) == models


# Mistakes never make a sealed secret public.

SECRET = base64.b64encode(bytes(range(7, 177))).decode()
DATA = [SECRET[at : at + 64] for at in range(0, len(SECRET), 64)]
SOUND = ["[foo]", f"key_id = {'ab' * 32}", "secret =", *(f"  {line}" for line in DATA), "host = x"]
SLIPS = st.tuples(
    st.sampled_from(["delete", "dedent", "swap", "repeat", "empty", "indent"]),
    st.integers(0, len(SOUND) - 1),
    st.integers(0, len(SOUND) - 1),
)


def _slip(lines: list[str], kind: str, one: int, other: int) -> None:
    one, other = one % len(lines), other % len(lines)
    match kind:
        case "delete" if len(lines) > 1:
            del lines[one]
        case "dedent":
            lines[one] = lines[one].strip()
        case "swap":
            lines[one], lines[other] = lines[other], lines[one]
        case "repeat":
            lines.insert(other, lines[one])
        case "indent":
            lines[one] = f"   {lines[one]}"
        case _:
            lines.insert(one, "")


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SLIPS, max_size=12))
@example([("delete", 2, 0), ("dedent", 5, 0)])
@example([("delete", 2, 0), ("dedent", 5, 0), ("swap", 4, 5)])
@example([("dedent", 5, 0), ("swap", 5, 6), ("repeat", 6, 6)])
def test_slips_of_an_editor_show_no_secret(
    caplog: pytest.LogCaptureFixture, slips: list[tuple[str, int, int]]
) -> None:
    """Lines lost, moved, doubled or indented wrongly: neither errors nor log quote the secret."""
    caplog.set_level("DEBUG")
    caplog.clear()
    lines = list(SOUND)
    for slip in slips:
        _slip(lines, *slip)
    told = ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            load_clients(_configdir(folder, "\n".join(lines).encode(), []))
        except AdministratorError as error:
            told = "\n".join(error.lines())
    told = (told + caplog.text).lower()
    assert not any(line[:8].lower() in told for line in DATA)
