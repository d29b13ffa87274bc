# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""clients.conf together with clients.d: which files are read, and what may be in their way."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mandos.client_settings import ClientSettings
from mandos.errors import AdministratorError
from mandos.server.config.clients_conf import load_clients
from mandos.server.config.files import Contents, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def _section(name: str, number: int, lines: str = "") -> str:
    return f"[{name}]\nkey_id = {number:064x}\nsecret = aGVsbG8=\n{lines}"


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def _names(clients: list[ClientSettings]) -> list[str]:
    return [client.name for client in clients]


def _remarks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The remarks but for those on hosts and secrets, which the clients of these tests lack."""
    usual = ("the secret of", "host is missing")
    return [text for text in caplog.messages if not text.startswith(usual)]


def _problems(folder: Path) -> list[str]:
    with pytest.raises(AdministratorError) as caught:
        load_clients(folder)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_drop_ins_follow_clients_conf_sorted_by_name(tmp_path: Path) -> None:
    """The order is: clients.conf, then the drop-ins by their names."""
    _write(tmp_path, "clients.d/b.conf", _section("four", 4) + _section("five", 5))
    _write(tmp_path, "clients.d/a.conf", _section("three", 3))
    _write(tmp_path, "clients.d/B.conf", _section("two", 2))
    _write(tmp_path, "clients.conf", _section("one", 1))
    assert _names(load_clients(tmp_path)) == ["one", "two", "three", "four", "five"]


def test_drop_ins_alone_are_enough(tmp_path: Path) -> None:
    """Without clients.conf the drop-ins are all there is."""
    _write(tmp_path, "clients.d/a.conf", _section("one", 1))
    assert _names(load_clients(tmp_path)) == ["one"]


def test_empty_directory_is_not_enough(tmp_path: Path) -> None:
    """No file at all is more likely a wrong directory than a wish."""
    _write(tmp_path, "clients.d/README", "")
    assert _problems(tmp_path) == ["clients.conf does not exist"]


def test_other_names_are_ignored_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Backups and hidden files are not read; one line says so, whatever is in their names."""
    caplog.set_level(logging.INFO)
    _write(tmp_path, "clients.conf", _section("one", 1))
    for name in (".hidden.conf", "a.conf~", "a.conf.dpkg-old", "a\n\x1b.txt"):
        _write(tmp_path, f"clients.d/{name}", "not read")
    os.mkfifo(tmp_path / "clients.d/fifo")
    assert _names(load_clients(tmp_path)) == ["one"]
    assert _remarks(caplog) == [
        (
            f"{tmp_path}/clients.d/.hidden.conf is ignored: only *.conf is read, and no dot files "
            "(and 4 more of these)"
        )
    ]


def test_defaults_of_a_drop_in_are_its_own(tmp_path: Path) -> None:
    """A drop-in's [DEFAULT] adds to that of clients.conf, for this file only."""
    shared = "[DEFAULT]\ntimeout = PT1M\nhost = %(short)s.%(domain)s\ndomain = example.org\n"
    _write(tmp_path, "clients.conf", shared + _section("one", 1, "short = a\n"))
    own = "[DEFAULT]\ntimeout = PT2M\ndomain = example.net\n"
    _write(tmp_path, "clients.d/1.conf", own + _section("two", 2, "short = b\n"))
    _write(tmp_path, "clients.d/2.conf", _section("three", 3, "short = c\n"))
    clients = load_clients(tmp_path)
    assert [(client.host, client.timeout) for client in clients] == [
        ("a.example.org", timedelta(minutes=1)),
        ("b.example.net", timedelta(minutes=2)),
        ("c.example.org", timedelta(minutes=1)),
    ]


def test_wrong_default_of_clients_conf_is_told_where_it_stands(tmp_path: Path) -> None:
    """Used by a drop-in only, a mistake still belongs to the file that has it; told once."""
    _write(tmp_path, "clients.conf", "[DEFAULT]\ntimeout = soon\n")
    _write(tmp_path, "clients.d/1.conf", _section("one", 1))
    _write(tmp_path, "clients.d/2.conf", _section("two", 2))
    (problem,) = _problems(tmp_path)
    assert problem.startswith("clients.conf: line 2: [DEFAULT] timeout: 'soon' is not a duration; ")


def test_names_and_keys_in_two_files(tmp_path: Path) -> None:
    """What is used twice is shown with both places."""
    _write(tmp_path, "clients.conf", _section("one", 1) + _section("two", 2))
    _write(tmp_path, "clients.d/a.conf", "# mine\n" + _section("one", 7) + _section("three", 2))
    assert _problems(tmp_path) == [
        (
            "clients.d/a.conf: line 2: [one] there is a client of this name already: "
            "clients.conf: line 1"
        ),
        "clients.d/a.conf: line 6: [three] key_id: the same as that of clients.conf: line 4: [two]",
    ]


def test_names_that_differ_by_punctuation_only(tmp_path: Path) -> None:
    """The reference ends with a traceback: both would have one D-Bus path.  Ours takes both."""
    _write(tmp_path, "clients.conf", _section("a.b", 1) + _section("a-b", 2) + _section("a_b", 3))
    assert _names(load_clients(tmp_path)) == ["a.b", "a-b", "a_b"]


def test_problems_of_all_files_are_shown_together(tmp_path: Path) -> None:
    """Mistakes of the format, of values, and files that are none: one start shows them all."""
    _write(
        tmp_path, "clients.conf", "[one]\nhost\n[two]\n" + _section("three", 3, "interval = 0s\n")
    )
    (tmp_path / "clients.d").mkdir()
    (tmp_path / "clients.d/1.conf").mkdir()
    (tmp_path / "clients.d/2.conf").write_bytes(b"\n\xff")
    _write(tmp_path, "clients.d/3.conf", _section("three", 4, "enabled = perhaps\n"))
    assert [problem.partition(";")[0] for problem in _problems(tmp_path)] == [
        "clients.conf: line 2: expected [section] or option = value",
        "clients.conf: line 3: [two] secret (or secfile) is missing",
        "clients.conf: line 3: [two] key_id is missing",
        "clients.conf: line 7: [three] interval: expected more than no time, not '0s'",
        "clients.d/1.conf is a directory, not a file",
        "clients.d/2.conf: line 2: not UTF-8 text",
        (
            "clients.d/3.conf: line 4: [three] enabled: expected 1, yes, true, on, 0, no, false or "
            "off, not 'perhaps'"
        ),
        (
            "clients.d/3.conf: line 1: [three] there is a client of this name already: "
            "clients.conf: line 4"
        ),
    ]


def test_broken_default_hides_no_mistake_and_invents_none(tmp_path: Path) -> None:
    """Where the defaults are not known, only the format of the other files is judged."""
    _write(tmp_path, "clients.conf", "[DEFAULT]\nhost\nsecret = aGVsbG8=\n[one]\n")
    _write(tmp_path, "clients.d/a.conf", f"[two]\nkey_id = {2:064x}\n[two]\n")
    assert _problems(tmp_path) == [
        "clients.conf: line 2: expected [section] or option = value",
        "clients.d/a.conf: line 3: there is a section [two] at line 1 already",
    ]


def test_what_is_no_file_never_blocks(tmp_path: Path) -> None:
    """A FIFO without a writer, a device, a socket, a link to nothing or to itself: refused."""
    folder = tmp_path / "clients.d"
    folder.mkdir()
    os.mkfifo(folder / "1.conf")
    (folder / "2.conf").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "3.conf"))
    (folder / "4.conf").symlink_to("nowhere")
    (folder / "5.conf").symlink_to("5.conf")
    assert _problems(tmp_path) == [
        "clients.d/1.conf is a FIFO, not a file",
        "clients.d/2.conf is a device, not a file",
        "clients.d/3.conf is a socket, not a file",
        "cannot read clients.d/4.conf: it is a symbolic link to nothing",
        "cannot read clients.d/5.conf: Too many levels of symbolic links",
    ]


def test_link_to_a_file_is_followed(tmp_path: Path) -> None:
    """Drop-ins may be links, as packages and administrators make them."""
    _write(tmp_path, "elsewhere", _section("one", 1))
    (tmp_path / "clients.d").mkdir()
    (tmp_path / "clients.d/a.conf").symlink_to("../elsewhere")
    assert _names(load_clients(tmp_path)) == ["one"]


def test_clients_d_that_is_no_directory(tmp_path: Path) -> None:
    """The administrator meant something by it, so it is an error."""
    _write(tmp_path, "clients.conf", _section("one", 1))
    (tmp_path / "clients.d").touch()
    assert _problems(tmp_path) == ["cannot list clients.d: Not a directory"]


def test_exposed_drop_ins_are_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files that everyone can read: the first with its remedy, and how many."""
    for number in range(3):
        _write(tmp_path, f"clients.d/{number} x.conf", _section(f"c{number}", number)).chmod(0o644)
    load_clients(tmp_path)
    path = f"{tmp_path}/clients.d/0 x.conf"
    assert _remarks(caplog) == [
        (
            f"everyone can read {path}, which holds secrets; run: chmod o-rwx '{path}' "
            "(and 2 more of these)"
        )
    ]


def test_renamed_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes after the directory was listed is found under its new name."""
    for name in "abz":
        _write(tmp_path, f"clients.d/{name}.conf", _section(name, ord(name)))
    _rename_while_reading(tmp_path / "clients.d", ["z.conf", "c.conf"], monkeypatch)
    assert _names(load_clients(tmp_path)) == ["a", "b", "z"]
    assert (tmp_path / "clients.d/c.conf").exists()


def test_renamed_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading gives up rather than going on for ever, and never leaves a client out."""
    for name in "abz":
        _write(tmp_path, f"clients.d/{name}.conf", _section(name, ord(name)))
    _rename_while_reading(tmp_path / "clients.d", ["z.conf", "y.conf"] * 20, monkeypatch)
    with pytest.raises(AdministratorError, match="come and go") as caught:
        load_clients(tmp_path)
    assert caught.value.hint == "wait until they stay"


def _rename_while_reading(folder: Path, names: list[str], patch: pytest.MonkeyPatch) -> None:
    """Whenever the first file is read, the last gets its next name."""
    renames = list(pairwise(names))

    def renaming(path: Path, limit: int) -> Contents:
        if path.name == "a.conf" and renames:
            old, new = renames.pop(0)
            (folder / old).rename(folder / new)
        return read_file(path, limit)

    patch.setattr("mandos.server.config.clients_conf.read_file", renaming)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory that everyone can enter; the test goes on as a user without rights."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        shutil.rmtree(folder)


def _as_root(folder: Path, name: str, mode: int, text: str = "") -> Path:
    os.seteuid(0)
    try:
        if name.endswith("/"):
            (folder / name).mkdir()
            path = folder / name
        else:
            path = _write(folder, name, text)
            path.parent.chmod(0o755)
        path.chmod(mode)
    finally:
        os.seteuid(NOBODY)
    return path


def test_files_that_this_user_may_not_read(as_nobody: Path) -> None:
    """At reload the server is no longer root: who may not read what, and the commands that help."""
    secret = _as_root(as_nobody, "a secret", 0o600, "x")
    _as_root(as_nobody, "clients.d/1.conf", 0o644, f"[a]\nkey_id = {1:064x}\nsecfile = {secret}\n")
    _as_root(as_nobody, "clients.d/2.conf", 0o600)
    assert _problems(as_nobody) == [
        (
            "clients.d/1.conf: line 3: [a] secfile: the user nobody may not read a secret; "
            "run: chgrp nogroup 'a secret'; chmod 640 'a secret'"
        ),
        (
            "the user nobody may not read clients.d/2.conf; "
            "run: chgrp nogroup clients.d/2.conf; chmod 640 clients.d/2.conf"
        ),
    ]


def test_the_commands_that_errors_name_help(as_nobody: Path) -> None:
    """Run as they are printed, the commands make the file readable, and only for that group."""
    path = _as_root(as_nobody, "clients.conf", 0o600, _section("one", 1))
    with pytest.raises(AdministratorError) as caught:
        load_clients(as_nobody)
    os.seteuid(0)
    try:
        assert os.system(str(caught.value).partition("run: ")[2]) == 0  # noqa: S605
        assert path.stat().st_mode & 0o777 == 0o640
    finally:
        os.seteuid(NOBODY)
    assert _names(load_clients(as_nobody)) == ["one"]


def test_directories_that_this_user_may_not_enter(as_nobody: Path) -> None:
    """A closed directory is named itself; its files are not taken for missing."""
    _as_root(as_nobody, "clients.conf", 0o644, _section("one", 1))
    folder = _as_root(as_nobody, "clients.d/", 0o700)
    assert _problems(as_nobody) == [
        "the user nobody may not list clients.d; run: chgrp nogroup clients.d; chmod 750 clients.d"
    ]
    os.seteuid(0)
    folder.rmdir()
    as_nobody.chmod(0o700)
    os.seteuid(NOBODY)
    assert _problems(as_nobody) == [
        f"the user nobody may not {act} {name}: {as_nobody} is closed to it; "
        f"run: chgrp nogroup {as_nobody}; chmod g+x {as_nobody}"
        for act, name in (("list", "clients.d"), ("read", "clients.conf"))
    ]
