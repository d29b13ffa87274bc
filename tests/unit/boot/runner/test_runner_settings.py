# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of plugin-runner: options, the configuration file, which files are plugins."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from mandos.boot.runner.plugin_files import find_plugins, is_plugin_name, script_owners
from mandos.boot.runner.settings import (
    COMMAND_LINE,
    HELPER_VARIABLE,
    RunnerSettings,
    read_settings,
    split_config,
)
from mandos.errors import MachineError, UsageError


def _settings(arguments: Sequence[str], said: list[str] | None = None) -> RunnerSettings:
    given = COMMAND_LINE.parse(["--config-file=/dev/null", *arguments])
    said = [] if said is None else said
    return read_settings(given, said.append)


def test_defaults_are_those_of_the_manual_page() -> None:
    """The places of an initial RAM disk, and nobody's rights."""
    settings = _settings([])
    assert settings.plugin_dir == "/lib/mandos/plugins.d"
    assert settings.helper_dir == "/lib/mandos/plugin-helpers"
    assert (settings.user, settings.group, settings.debug) == (65534, 65534, False)
    assert settings.arguments("any") == []
    assert settings.environment("any", {}) == {HELPER_VARIABLE: "/lib/mandos/plugin-helpers"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-o", "foo:--bar=baz"], ["--bar=baz"]),
        (["-o", "foo:--bar,baz"], ["--bar", "baz"]),
        (["-o", "foo:--bar baz"], ["--bar baz"]),
        (["-o", "foo:a,"], ["a", ""]),
        (["-o", "foo:"], []),
        (["-g", "a,b", "-o", "foo:c", "-g", "d", "-o", "foo:e", "-o", "other:f"], list("ceabd")),
        (["-o", "foo:--connect=fe80::1%eth0:4711"], ["--connect=fe80::1%eth0:4711"]),
    ],
)
def test_options_of_a_plugin(arguments: list[str], expected: list[str]) -> None:
    """Commas separate, blanks do not; the plugin's own come first, as the reference has it."""
    assert _settings(arguments).arguments("foo") == expected


def test_environment_of_a_plugin() -> None:
    """Inherited, then global, then the helpers' folder, then the plugin's own: the last counts."""
    settings = _settings(
        ["-G", "A=1", "-G", "A=2", "-G", f"{HELPER_VARIABLE}=/no", "-E", "foo:B=own=x",
         "-E", f"own:{HELPER_VARIABLE}=/own", "--plugin-helper-dir=/helpers"]
    )  # fmt: skip
    inherited = {"A": "0", "B": "0", "C": "0"}
    assert settings.environment("foo", inherited) == {
        "A": "2", "B": "own=x", "C": "0", HELPER_VARIABLE: "/helpers",
    }  # fmt: skip
    assert settings.environment("own", {})[HELPER_VARIABLE] == "/own"


def test_the_last_of_disable_and_enable_counts() -> None:
    """In the order in which they were given."""
    assert not _settings(["-d", "foo"]).starts("foo")
    assert _settings(["-d", "foo", "-e", "foo"]).starts("foo")
    assert not _settings(["-e", "foo", "-d", "foo"]).starts("foo")
    assert _settings(["-d", "foo"]).starts("bar")


@pytest.mark.parametrize("text", ["x", "", "-1", "4294967295", "99999999999999999999", "٣"])
def test_a_bad_id_is_told_and_replaced(text: str) -> None:
    """A machine shall come up whatever stands there; 4294967295 would keep root's rights."""
    said: list[str] = []
    settings = _settings([f"--userid={text}"], said)
    assert settings.user == 65534
    assert said == [f"--userid takes a number, not {text!r}; using 65534"]


@pytest.mark.parametrize(
    "arguments",
    [["-G", "x"], ["-G", "=x"], ["-E", "foo"], ["-E", ":A=1"], ["-E", "foo:A"], ["-o", "foo"],
     ["-o", ":x"]],
)  # fmt: skip
def test_what_names_no_plugin_or_variable_is_refused(arguments: list[str]) -> None:
    """On the command line it is a usage error."""
    with pytest.raises(UsageError):
        _settings(arguments)


def _with_file(path: Path, *arguments: str) -> tuple[RunnerSettings, list[str]]:
    said: list[str] = []
    given = COMMAND_LINE.parse([f"--config-file={path}", *arguments])
    return read_settings(given, said.append), said


def test_the_file_comes_before_the_command_line(tmp_path: Path) -> None:
    """The command line overrides it, and adds to what can be repeated."""
    path = tmp_path / "conf"
    path.write_text("--userid 5 --groupid=6 -o foo:file # --debug\n\n  -d\n\tfoo", encoding="ascii")
    settings, said = _with_file(path, "--userid=7", "-o", "foo:line")
    assert (settings.user, settings.group, settings.debug) == (7, 6, False)
    assert settings.arguments("foo") == ["file", "line"]
    assert not settings.starts("foo")
    assert said == []


def test_mistakes_in_the_file_are_told_and_left_out(tmp_path: Path) -> None:
    """Each by itself; the rest of the file counts."""
    path = tmp_path / "conf"
    path.write_text("--bad=1 word -G nothing --userid=8 -x --deb=1 -o", encoding="ascii")
    settings, said = _with_file(path)
    assert settings.user == 8
    assert len(said) == 6
    assert all(line.startswith(f"{path}: ") and line.endswith("; ignored") for line in said)


def test_a_config_file_in_the_file_is_ignored(tmp_path: Path) -> None:
    """As the manual page has it, and --help there does not end the program."""
    path = tmp_path / "conf"
    path.write_text("--config-file=/etc/shadow --help", encoding="ascii")
    said = _with_file(path)[1]
    assert said == []


@pytest.mark.parametrize("kind", ["missing", "folder", "zeros"])
def test_an_unreadable_file_is_told(tmp_path: Path, kind: str) -> None:
    """The program goes on without it."""
    path = {"missing": tmp_path / "none", "folder": tmp_path, "zeros": Path("/dev/zero")}[kind]
    said = _with_file(path)[1]
    assert len(said) == 1
    assert said[0].endswith("; going on without it")


def test_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    """Whatever encoding the file is in, the plugin gets its bytes."""
    path = tmp_path / "conf"
    path.write_bytes(b"-o foo:\xff\xc3\xa4")
    settings, _said = _with_file(path)
    assert settings.arguments("foo") == ["\udcff\xe4"]


def test_a_comment_begins_anywhere() -> None:
    """From a # to the end of the line, also within a word."""
    assert split_config("a b#c d\n#\n e\tf\n") == ["a", "b", "e", "f"]


#: What the reference's plugin-runner starts, seen from outside, and we too.
PLUGINS = ["plain", "a.sh", "a.old", "a.bak", "#auto", "auto#", "-dash", "+plus", "sp ace", "a,b",
           "a.dpkg-foo", "README"]  # fmt: skip
#: What it does not start.
NO_PLUGINS = [".dot", "back~", "#both#", "a.dpkg-new", "a.dpkg-old", "a.dpkg-bak",
              "a.dpkg-divert"]  # fmt: skip
#: What it starts, but we do not: package managers leave these behind.
LEFTOVERS = ["a.dpkg-dist", "a.dpkg-tmp", "a.dpkg-remove", "a.ucf-new", "a.ucf-old", "a.ucf-dist",
             "a.rpmnew", "a.rpmsave", "a.rpmorig"]  # fmt: skip


def test_names_of_plugins() -> None:
    """Hidden files and leftovers are no plugins."""
    assert [name for name in PLUGINS if not is_plugin_name(name)] == []
    assert [name for name in NO_PLUGINS + LEFTOVERS if is_plugin_name(name)] == []


def test_only_executable_files_are_plugins(tmp_path: Path) -> None:
    """Links count as what they lead to; folders, plain files and disabled ones do not."""
    for name in ("second", "first", "off", ".hidden", "plain"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="ascii")
        (tmp_path / name).chmod(0o644 if name == "plain" else 0o755)
    (tmp_path / "link").symlink_to("first")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    said: list[str] = []
    settings = _settings(["--plugin-dir", str(tmp_path), "--disable=off", "-o", "tpyo:x"])
    names = [plugin.name for plugin in find_plugins(settings, said.append, said.append)]
    assert names == ["first", "link", "second"]
    assert said == [f"options name the plugin tpyo, which is not in {tmp_path}"]


def _script(path: Path, mode: int, text: str = "#!/bin/sh\n") -> str:
    path.write_text(text, encoding="ascii")
    path.chmod(mode)
    return str(path)


def test_whose_rights_a_script_has(tmp_path: Path) -> None:
    """Set-user-ID and set-group-ID count for scripts only, each by itself."""
    tmp_path.chmod(0o755)
    made = tmp_path / "x"
    made.touch()
    user, group = made.stat().st_uid, made.stat().st_gid
    assert script_owners(_script(made, 0o755)) is None
    assert script_owners(_script(made, 0o4755)) == (user, None)
    assert script_owners(_script(made, 0o6755)) == (user, group)
    assert script_owners(_script(made, 0o755 | stat.S_ISGID)) == (None, group)
    assert script_owners(_script(made, 0o4755, "\x7fELF")) is None
    assert script_owners(str(tmp_path / "missing")) is None


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_rights_need_a_safe_place(tmp_path: Path, mode: int) -> None:
    """In a folder where others can put files, a set-user-ID script is not started at all."""
    path = _script(tmp_path / "x", 0o4755)
    tmp_path.chmod(mode)
    with pytest.raises(MachineError, match="can write to its directory"):
        script_owners(path)
