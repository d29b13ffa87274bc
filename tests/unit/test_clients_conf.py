# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``clients.conf``: every option, both expansions, and what an administrator may get wrong."""

from __future__ import annotations

import base64
import contextlib
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mandos.errors import AdministratorError
from mandos.server.clients_conf import ClientSettings, load_clients
from mandos.wire.key_id import OF_NOTHING

KEY_ID = "0123456789abcdef" * 4
SECRET = base64.b64encode(b"sealed").decode()
GOOD = f"key_id = {KEY_ID}\nsecret = {SECRET}\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The path of a clients.conf, not readable by others."""
    path = tmp_path / "clients.conf"
    path.touch(mode=0o600)
    return path


def _one(conf: Path, text: str) -> ClientSettings:
    conf.write_text(text)
    (client,) = load_clients(conf)
    return client


def _problem(conf: Path, text: str) -> str:
    conf.write_text(text)
    with pytest.raises(AdministratorError) as caught:
        load_clients(conf)
    return str(caught.value)


def test_defaults_are_those_of_the_manual_page(conf: Path) -> None:
    """A section with the two required options."""
    client = _one(conf, f"[foo]\n{GOOD}")
    assert client == ClientSettings(name="foo", key_id=KEY_ID, secret=b"sealed")
    assert client.checker % {"host": "h"} == "fping -q -- h"
    assert client.timeout == timedelta(minutes=5)
    assert client.extended_timeout == timedelta(minutes=15)
    assert client.interval == timedelta(minutes=2)
    assert client.approval_duration == timedelta(seconds=1)
    assert client.approved_by_default
    assert client.enabled


def test_every_option(conf: Path) -> None:
    """All options of mandos-clients.conf(5), in any case and with either separator."""
    client = _one(
        conf,
        f"[DEFAULT]\ntimeout = PT1M\n[foo]\nKEY_ID: {KEY_ID.upper()[:32]} {KEY_ID[32:]}\n"
        f"fingerprint = AB CD\nsecret =\n  {SECRET[:4]}\n  {SECRET[4:]}\nhost = h.example.org\n"
        "checker = ping %%(host)s\ninterval = 30s\nextended_timeout = PT1H\n"
        "approval_delay = PT10S\napproval_duration = 2m\napproved_by_default = no\nenabled = 0\n",
    )
    assert client == ClientSettings(
        name="foo", key_id=KEY_ID, fingerprint="abcd", secret=b"sealed", host="h.example.org",
        checker="ping %(host)s", timeout=timedelta(minutes=1), interval=timedelta(seconds=30),
        extended_timeout=timedelta(hours=1), approval_delay=timedelta(seconds=10),
        approval_duration=timedelta(minutes=2), approved_by_default=False, enabled=False,
    )  # fmt: skip


def test_start_time_expansion_prefers_the_section(conf: Path) -> None:
    """``%(name)s`` comes from the section or from DEFAULT; ``%%`` is a percent sign."""
    client = _one(conf, f"[DEFAULT]\nhost = d\ntail = 100%%\n[foo]\n{GOOD}host = h-%(tail)s\n")
    assert client.host == "h-100%"


def test_secret_from_a_file(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw bytes, with variables in the name; a secret in the section wins."""
    (conf.parent / "blob").write_bytes(b"\0raw\n")
    monkeypatch.setenv("SECRETS", str(conf.parent))
    text = f"[foo]\nkey_id = {KEY_ID}\nsecfile = $SECRETS/blob\n"
    assert _one(conf, text).secret == b"\0raw\n"
    assert _one(conf, text + f"secret = {SECRET}\n").secret == b"sealed"


def test_secret_never_shows(conf: Path) -> None:
    """Neither the text form of a client nor an error holds its secret."""
    assert "sealed" not in repr(_one(conf, f"[foo]\n{GOOD}"))
    assert SECRET not in _problem(conf, f"[foo]\nkey_id = {KEY_ID}\nsecret = {SECRET}!\n")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (f"secret = {SECRET}", "[foo]: key_id is missing"),
        (f"key_id = {KEY_ID}", "[foo] secret (or secfile) is missing"),
        (f"key_id = {KEY_ID}\nsecret =", "[foo] secret: is empty"),
        (f"key_id = {KEY_ID}\nsecret = ***", "[foo] secret: expected base64"),
        (f"key_id = {KEY_ID}\nsecret = abc", "[foo] secret: expected base64"),
        (f"key_id = {KEY_ID}\nsecfile = /nonexistent", "secfile: cannot read /nonexistent"),
        (f"key_id = {KEY_ID}\nsecfile = /", "secfile: cannot read /: Is a directory"),
        (f"key_id = {KEY_ID}\nsecfile = /dev/null", "secfile: /dev/null is empty"),
        (f"key_id = {KEY_ID}\nsecfile = /dev/zero", "secret: larger than"),
        (f"key_id = 123\nsecret = {SECRET}", "key_id: a key ID has 64 hexadecimal digits"),
        (f"key_id = {OF_NOTHING}\nsecret = {SECRET}", "SHA-256 of nothing"),
        (GOOD + "fingerprint = xyz", "fingerprint: expected hexadecimal digits"),
        (GOOD + "timeout = soon", "[foo] timeout: 'soon' is not a duration"),
        (GOOD + "interval = -5m", "interval: '-5m' is not a duration"),
        (GOOD + "enabled = perhaps", "[foo] enabled: expected 1, yes, true"),
        (GOOD + "host = %(nowhere)s", "[foo] host: there is no option nowhere"),
        (GOOD + "host = 100%", "[foo] host: expected %(name)s after a percent sign"),
        (GOOD + "checker = ping %%(nothing)s", "checker: expected a name that can be expanded"),
        (GOOD + "checker = ping %%", "checker: expected %%(name)s"),
        (GOOD + "checker = ping %%(host)", "checker: expected %%(name)s"),
        (GOOD + "checker = ping %%d", "checker: expected %%(name)s"),
    ],
)
def test_problem_names_file_section_and_option(conf: Path, lines: str, complaint: str) -> None:
    """Nothing wrong waits until it is needed: all is found at start."""
    message = _problem(conf, f"[foo]\n{lines}\n")
    assert message.startswith(f"{conf}: [foo]")
    assert complaint in message


def test_all_problems_are_told_at_once(conf: Path) -> None:
    """An administrator mends the file once."""
    message = _problem(conf, f"[a]\n{GOOD}timeout = x\nenabled = y\n[b]\n")
    assert [line.partition(": ")[2].split()[0] for line in message.splitlines()] == [
        "[a]", "[a]", "[b]:", "[b]",
    ]  # fmt: skip


def test_names_and_key_ids_are_unique(conf: Path) -> None:
    """Two sections of one name, or of one key, are refused naming both."""
    assert "line 4: a section [foo] exists already" in _problem(conf, f"[foo]\n{GOOD}[foo]\n")
    message = _problem(conf, f"[foo]\n{GOOD}[bar]\n{GOOD}")
    assert "[bar] has the same key_id as [foo]" in message


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """A server without clients.conf cannot do anything."""
    with pytest.raises(AdministratorError, match="does not exist") as caught:
        load_clients(tmp_path / "clients.conf")
    assert "mandos-keygen --password" in str(caught.value.hint)


def test_unknown_options_and_exposed_files_are_told(
    conf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown options are ignored but logged; a file that everyone can read brings a warning."""
    caplog.set_level(logging.INFO)
    conf.chmod(0o644)
    assert _one(conf, f"[foo]\n{GOOD}colour = red\n").name == "foo"
    assert "[foo]: unknown option colour is ignored" in caplog.text
    assert f"chmod o-rwx {conf}" in caplog.text


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_administrator_errors_leave_the_reader(conf: Path, text: str) -> None:
    """Whatever stands in the file: clients, or an error that can be shown."""
    conf.write_bytes(f"[foo]\n{GOOD}".encode() + text.encode(errors="surrogatepass"))
    with contextlib.suppress(AdministratorError):
        assert all(client.secret for client in load_clients(conf))
