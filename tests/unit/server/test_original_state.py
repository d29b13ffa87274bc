# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The original's disabled clients stay disabled, and its saved state runs no code."""

from __future__ import annotations

import json
import os
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.server.config.server_conf import ServerSettings
from mandos.server.original_state import DUMP, PICKLE, dumped, import_state, main, pickled
from mandos.server.state import disabled_list
from mandos.server.state.database import DATABASE, WITNESS, SQLiteStore

if TYPE_CHECKING:
    from pathlib import Path

#: What the original saves of a client, as far as it matters: dates, durations and bytes among it.
CLIENT = {
    "created": datetime(2026, 11, 30, 1, 46, tzinfo=UTC).replace(tzinfo=None),
    "timeout": timedelta(minutes=5),
    "encrypted_secret": b"\x8c\r\x04\xff",
    "expires": None,
}


def saved(*disabled: str, protocol: int = 2) -> bytes:
    """The state of an original with the clients alpha, beta and gamma."""
    clients = {
        name: {**CLIENT, "name": name, "enabled": name not in disabled}
        for name in ("alpha", "beta", "gamma")
    }
    return pickle.dumps((clients, {"interface": "eth0"}), protocol)


def told(*disabled: str) -> bytes:
    """The same, as the original's mandos-ctl --dump-json has it."""
    clients = {
        name: {"Name": name, "Enabled": name not in disabled} for name in ("alpha", "beta", "gamma")
    }
    return json.dumps(clients, indent=4).encode()


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    """A server's settings, with a client in clients.conf."""
    (tmp_path / "clients.conf").write_text("[alpha]\n", encoding="utf-8")
    return ServerSettings(configdir=tmp_path, statedir=tmp_path)


def read(settings: ServerSettings) -> frozenset[str]:
    """The list of disabled clients."""
    return disabled_list.read(settings.statedir / WITNESS)


def test_saved_state_tells_who_is_disabled() -> None:
    """The pickle's disabled clients are found, as protocol 2 has dates and bytes."""
    assert pickled(saved("beta")) == {"beta"}
    assert pickled(saved()) == set()


def test_dump_tells_who_is_disabled() -> None:
    """So does the output of mandos-ctl --dump-json."""
    assert dumped(told("alpha", "gamma")) == {"alpha", "gamma"}


class _Runs:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_saved_state_runs_nothing(tmp_path: Path, protocol: int) -> None:
    """A pickle that names a function is refused, and the function is not called."""
    data = pickle.dumps(({"alpha": _Runs(tmp_path / "made")}, {}), protocol)
    with pytest.raises(ValueError, match=r"it names .*mkdir"):
        pickled(data)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        saved("beta")[:-20],
        pickle.dumps([]),
        pickle.dumps(({"alpha": {}}, {})),
        pickle.dumps(({"alpha": {"enabled": 0}}, {})),
        pickle.dumps(({"al\npha": {"enabled": True}}, {})),
        pickle.dumps(({b"alpha": {"enabled": True}}, {})),
        b"cdatetime\ndatetime\n(S'x'\ntR.",
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
    ],
)
def test_other_data_are_refused(data: bytes) -> None:
    """With the one error that the import knows."""
    with pytest.raises(ValueError, match=r"original|no name|does not say"):
        pickled(data)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_damaged_state_is_refused_or_read(noise: bytes, at: int) -> None:
    """Any damage leads to a set of names or to ValueError."""
    data = saved("beta")
    for damaged in (noise, data[:at] + noise + data[at + len(noise) :]):
        for reader in (pickled, dumped):
            try:
                names = reader(damaged)
            except ValueError:
                continue
            assert all(name.isprintable() for name in names)


def test_disabled_clients_begin_disabled(settings: ServerSettings) -> None:
    """The list of disabled clients has those of both files."""
    (settings.statedir / PICKLE).write_bytes(saved("beta"))
    (settings.statedir / DUMP).write_bytes(told("gamma"))
    (line,) = import_state(settings)
    assert line.endswith("which stay disabled: beta, gamma")
    assert read(settings) == {"beta", "gamma"}


def test_imports_once(settings: ServerSettings) -> None:
    """The same files are not imported again: clients may have been enabled since."""
    (settings.statedir / PICKLE).write_bytes(saved("beta"))
    assert import_state(settings)
    disabled_list.write(settings.statedir / WITNESS, ())
    assert import_state(settings) == []
    assert read(settings) == frozenset()
    (settings.statedir / PICKLE).write_bytes(saved("gamma"))
    assert import_state(settings)
    assert read(settings) == {"gamma"}


def test_back_and_forth(settings: ServerSettings) -> None:
    """Clients that our own server had disabled before stay disabled, too."""
    disabled_list.write(settings.statedir / WITNESS, {"alpha"})
    (settings.statedir / PICKLE).write_bytes(saved("beta"))
    import_state(settings)
    assert read(settings) == {"alpha", "beta"}


def test_nothing_to_import(settings: ServerSettings) -> None:
    """An original that has saved nothing, and has not failed, has disabled nobody."""
    assert import_state(settings) == []
    assert not (settings.statedir / WITNESS).exists()


@pytest.mark.parametrize("data", [b"damaged", None], ids=["damaged", "no-file"])
def test_unknown_state_disables_everyone(settings: ServerSettings, data: bytes | None) -> None:
    """Then the server knows nobody as enabled, whatever its own database says."""
    SQLiteStore(settings.statedir).close()
    if data is not None:
        (settings.statedir / PICKLE).write_bytes(data)
    lines = import_state(settings, failed=data is None)
    assert "EVERY CLIENT IS DISABLED NOW" in lines[1]
    assert "mandos-ctl --enable" in lines[2]
    assert (settings.statedir / f"before-import-{DATABASE}").exists()
    store = SQLiteStore(settings.statedir)
    state = store.load()
    store.close()
    assert state.disabled is None
    assert state.lost


def test_dump_helps_where_the_service_failed(settings: ServerSettings) -> None:
    """What the administrator has asked the original for beforehand counts then."""
    (settings.statedir / PICKLE).write_bytes(saved())
    (settings.statedir / DUMP).write_bytes(told("beta"))
    import_state(settings, failed=True)
    assert read(settings) == {"beta"}


def test_without_clients_nothing_is_unknown(settings: ServerSettings) -> None:
    """Where no client is configured, none can be enabled by mistake, nor disabled later."""
    (settings.configdir / "clients.conf").write_text("# none\n", encoding="utf-8")
    assert import_state(settings, failed=True) == []
    assert not (settings.statedir / WITNESS).exists()


def test_program_reports_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that cannot be read ends the program before it reads any state."""
    (tmp_path / "mandos.conf").write_text("[DEFAULT]\nrestore = maybe\n", encoding="utf-8")
    (tmp_path / PICKLE).write_bytes(saved("beta"))
    assert main([f"--configdir={tmp_path}", f"--statedir={tmp_path}"]) == 78
    assert "import-original-state: " in capsys.readouterr().err
    assert not (tmp_path / WITNESS).exists()
