# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file format, with the standard library's configparser as the oracle, and rubbish."""

from __future__ import annotations

import configparser
import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mandos.errors import AdministratorError
from mandos.server.clients_conf import load_clients
from mandos.server.inifile import expand, read_ini

PIECES = st.sampled_from([
    "\n", "\n", "\n", " ", "\t", "[", "]", "[foo]", "[bar]", "[DEFAULT]", "=", ":", "#", ";", "%",
    "%%", "%(", ")s", "%(host)s", "%(a)s", "host", "HOST", "a", "key_id", "secret", "timeout",
    "checker", "interval", "aGVsbG8=", "ab" * 32, "PT5M", "5m 30s", "é", "\r", "\f", "\x85", "\0",
])  # fmt: skip
LINES = st.sampled_from([
    "[foo]", "[bar]", "[DEFAULT]", "a = x", "b: y", "host = %(a)s-%(B)s", "  more", "\tand more",
    "", "# comment", "  ; comment", "  c = d", "A=1", "b", "=", "checker = %%(host)s 100%%%%",
    "secret = aGVsbG8=", f"key_id = {'ab' * 32}", "timeout = %(a)s", " [baz]", "[a] b] c",
])  # fmt: skip
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


@settings(deadline=None, max_examples=300)
@given(TEXTS.map(lambda text: text.replace("\0", "")))
def test_files_are_read_as_configparser_reads_them(text: str) -> None:
    """Sections, options, continuation lines, comments and expansions agree, errors too."""
    assert _ours(text) == _theirs(text)


@settings(deadline=None, max_examples=300)
@given(TEXTS.map(str.encode) | st.binary())
def test_rubbish_raises_one_error_class(content: bytes) -> None:
    """Whatever the bytes, clients come out or an AdministratorError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clients.conf"
        path.write_bytes(content)
        path.chmod(0o600)
        with contextlib.suppress(AdministratorError):
            assert all(client.secret for client in load_clients(path.parent))
