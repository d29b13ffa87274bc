# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that we ship, and the manual pages: complete, and true to the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mandos.client_settings import SETTINGS, ClientSettings, Setting, ValueKind
from mandos.durations import format_duration
from mandos.server.config.clients_conf import READERS, load_clients
from mandos.server.config.parsers import RUNTIME_NAMES
from mandos.server.config.server_conf import ROWS, ServerSettings, load

ROOT = Path(__file__).parents[4]
SERVER_EXAMPLE = ROOT / "conf/mandos.conf"
CLIENTS_EXAMPLE = ROOT / "conf/clients.conf"
PAGES = [ROOT / "man/mandos.conf.5", ROOT / "man/mandos-clients.conf.5"]
FILE_KEYS = [row.name for row in ROWS if row.in_file]


def _uncommented(path: Path) -> str:
    return re.sub(
        r"^#(?=[a-z0-9_]+ =|\[|        )", "", path.read_text("utf-8"), flags=re.MULTILINE
    )


@pytest.mark.parametrize("used", [False, True], ids=["commented out", "in use"])
def test_server_example_holds_the_defaults(tmp_path: Path, used: bool) -> None:  # noqa: FBT001
    """As it is, and with every line of it in use, the file changes nothing."""
    text = _uncommented(SERVER_EXAMPLE) if used else SERVER_EXAMPLE.read_text("utf-8")
    (tmp_path / "mandos.conf").write_text(text, encoding="utf-8")
    assert load(["--configdir", str(tmp_path)]) == ServerSettings(configdir=tmp_path)


@pytest.mark.parametrize("name", FILE_KEYS)
def test_server_example_has_every_key(name: str) -> None:
    """No option of the file has to be looked up."""
    assert re.search(rf"^#{name} =", SERVER_EXAMPLE.read_text("utf-8"), re.MULTILINE)


def test_clients_example_as_it_is(tmp_path: Path) -> None:
    """The file that is installed has no clients, and nothing that is wrong."""
    shutil.copy(CLIENTS_EXAMPLE, tmp_path)
    assert load_clients(tmp_path) == []


def test_clients_example_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With every line in use there are two clients, the first with all defaults."""
    (tmp_path / "bar.secret").write_bytes(b"sealed")
    monkeypatch.setenv("HERE", str(tmp_path))
    text = _uncommented(CLIENTS_EXAMPLE).replace("/etc/mandos/", "$HERE/")
    (tmp_path / "clients.conf").touch(mode=0o600)
    (tmp_path / "clients.conf").write_text(text, encoding="utf-8")
    foo, bar = load_clients(tmp_path)
    assert (foo.name, foo.host, bar.name, bar.secret) == (
        "foo",
        "foo.example.org",
        "bar",
        b"sealed",
    )
    assert foo == ClientSettings(
        name="foo", secret=foo.secret, key_id=foo.key_id, fingerprint=foo.fingerprint, host=foo.host
    )
    assert all(message.startswith("the secret of") for message in caplog.messages)


@pytest.mark.parametrize("name", [*READERS, "secret", "secfile"])
def test_clients_example_has_every_option(name: str) -> None:
    """Every option of clients.conf stands in the example."""
    assert re.search(rf"^#{name} =", CLIENTS_EXAMPLE.read_text("utf-8"), re.MULTILINE)


def _page(path: Path) -> str:
    return path.read_text("utf-8").replace("\\-", "-")


@pytest.mark.parametrize(("page", "names"), [(PAGES[0], FILE_KEYS), (PAGES[1], [*READERS])])
def test_page_has_every_option(page: Path, names: list[str]) -> None:
    """Every option has an entry, and no entry is of an option that does not exist."""
    entries = re.findall(r'^\.BI "([a-z0-9_]+) = "', _page(page), re.MULTILINE)
    assert sorted({*entries} - {"secret", "secfile"}) == sorted(names)
    assert len(entries) == len(set(entries))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_page_has_the_defaults_of_clients(setting: Setting) -> None:
    """Each entry names the default, unless there is none."""
    if setting.kind in {ValueKind.KEY_ID, ValueKind.FINGERPRINT, ValueKind.SECRET}:
        return
    default = getattr(ClientSettings(name="x", secret=b"x"), setting.name)
    entry = _page(PAGES[1]).partition(f'.BI "{setting.name} = "')[2].partition(".TP")[0]
    match default:
        case "":
            assert "Empty by default." in entry
        case bool():
            assert f"Default: {'yes' if default else 'no'}." in entry
        case timedelta():
            assert f"Default: {format_duration(default)}" in entry
        case _:
            assert f'Default:\n.BR "{default.replace("%", "%%")}"' in entry


def test_page_has_every_name_of_the_run_time_expansion() -> None:
    """The names that a checker may use are those of the page."""
    entry = _page(PAGES[1]).partition("The names are\n")[2].partition("\nAny other")[0]
    assert set(re.findall(r"[a-z_]+", entry.replace(".BR", ""))) - {"and"} == RUNTIME_NAMES


def test_example_of_the_clients_page_is_right(tmp_path: Path) -> None:
    """Whoever copies the example of the page has a file that is read."""
    example = _page(PAGES[1]).rpartition(".EX\n")[2].partition(".EE")[0]
    (tmp_path / "web1.secret").write_bytes(b"sealed")
    text = example.replace("/etc/mandos", str(tmp_path))
    (tmp_path / "clients.conf").write_text(text, encoding="utf-8")
    assert [client.name for client in load_clients(tmp_path)] == ["db1", "web1"]


def test_example_of_the_server_page_is_right(tmp_path: Path) -> None:
    """The same of the server's page."""
    example = _page(PAGES[0]).rpartition(".EX\n")[2].partition(".EE")[0]
    (tmp_path / "mandos.conf").write_text(example, encoding="utf-8")
    settings = load(["--configdir", str(tmp_path)])
    plain = ServerSettings(configdir=tmp_path)
    assert replace(settings, interface="", port=0, link_loss=plain.link_loss) == plain


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_sound(page: Path) -> None:
    """The formatter has nothing to complain about."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
