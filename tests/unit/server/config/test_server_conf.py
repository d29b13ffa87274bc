# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's settings: command line, mandos.conf, defaults, and what is wrong with them."""

from __future__ import annotations

import logging
import re
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from mandos.errors import AdministratorError, UsageError
from mandos.server.config.server_conf import ROWS, LinkLoss, ServerSettings, load
from mandos.wire import grammar


def _load(folder: Path, text: str, *arguments: str) -> ServerSettings:
    (folder / "mandos.conf").write_text("[DEFAULT]\n" + text, encoding="utf-8")
    return load(["--configdir", str(folder), *arguments])


def test_defaults_without_a_file(tmp_path: Path) -> None:
    """A missing mandos.conf is fine: everything has a default."""
    settings = load(["--configdir", str(tmp_path)])
    assert settings == ServerSettings(configdir=tmp_path)
    assert settings.priority == grammar.PRIORITY
    assert (settings.port, settings.socket, settings.address) == (0, None, "")
    assert settings.statedir == Path("/var/lib/mandos")
    assert settings.use_dbus
    assert settings.use_ipv6
    assert settings.restore
    assert settings.zeroconf
    assert not settings.foreground
    assert settings.log_level == logging.INFO


def test_default_directories() -> None:
    """The directories are the reference's."""
    assert ServerSettings().configdir == Path("/etc/mandos")


def test_every_key_of_the_file(tmp_path: Path) -> None:
    """mandos.conf may hold every option except the level and its own place; case is free."""
    settings = _load(
        tmp_path,
        "interface = eth0\nADDRESS: fe80::1%eth0\nport = 1025\ndebug = yes\n"
        "priority = NORMAL:%PROFILE_ULTRA\nservicename = Daena\nuse_dbus = off\nuse_ipv6 = 1\n"
        "restore = no\nstatedir = /srv/state\nsocket = 3\nforeground = TRUE\nzeroconf = 0\n"
        "link_loss = Hold\ncheckers = 4096\naudit_records = 1000\nstate = service=mandos\n"
        "server_name = keeper-1\nwithout_database = PT10M\nwithout_database_at_boot = 1d 2h\n",
    )
    assert settings == ServerSettings(
        interface="eth0", address="fe80::1%eth0", port=1025, debug=True,
        priority="NORMAL:%PROFILE_ULTRA", servicename="Daena", use_dbus=False, use_ipv6=True,
        restore=False, statedir=Path("/srv/state"), socket=3, foreground=True, zeroconf=False,
        link_loss=LinkLoss.HOLD, checkers=4096, audit_records=1000, configdir=tmp_path,
        state="service=mandos", server_name="keeper-1", without_database=timedelta(minutes=10),
        without_database_at_boot=timedelta(hours=26),
    )  # fmt: skip


def test_every_option_of_the_command_line(tmp_path: Path) -> None:
    """Every option can be given, in its long form."""
    settings = load([
        "--interface=eth0", "--address=192.0.2.3", "--port=1025", "--debug", "--debuglevel=error",
        "--priority=NORMAL", "--servicename=Daena", f"--configdir={tmp_path}", "--no-dbus",
        "--no-ipv6", "--no-restore", "--socket=3", "--statedir=/srv/state", "--foreground",
        "--no-zeroconf", "--link-loss=hold", "--checkers=1", "--audit-records=10000000", "--check",
        "--state=postgresql://a,b/mandos", "--server-name=b", "--without-database=0s",
        "--without-database-at-boot=PT1H",
    ])  # fmt: skip
    assert settings == ServerSettings(
        interface="eth0", address="192.0.2.3", port=1025, debug=True, debuglevel="ERROR",
        priority="NORMAL", servicename="Daena", configdir=tmp_path, use_dbus=False,
        use_ipv6=False, restore=False, socket=3, statedir=Path("/srv/state"), foreground=True,
        zeroconf=False, link_loss=LinkLoss.HOLD, checkers=1, audit_records=10_000_000, check=True,
        state="postgresql://a,b/mandos", server_name="b", without_database=timedelta(),
        without_database_at_boot=timedelta(hours=1),
    )  # fmt: skip
    assert settings.log_level == logging.ERROR


def test_short_options(tmp_path: Path) -> None:
    """-i, -a and -p are short for the interface, the address and the port."""
    settings = load(["-i", "eth0", "-a", "::1", "-p", "99", "--configdir", str(tmp_path)])
    assert (settings.interface, settings.address, settings.port) == ("eth0", "::1", 99)


def test_command_line_wins(tmp_path: Path) -> None:
    """The command line overrides the file, key by key."""
    settings = _load(tmp_path, "port = 1\nservicename = A\nzeroconf = yes", "-p2", "--no-zeroconf")
    assert (settings.port, settings.servicename, settings.zeroconf) == (2, "A", False)


def test_debugging_stays_in_the_foreground_and_logs_all(tmp_path: Path) -> None:
    """Debug mode implies the foreground."""
    settings = _load(tmp_path, "debug = on\nforeground = no")
    assert settings.foreground
    assert settings.log_level == logging.DEBUG


def test_empty_values_mean_none(tmp_path: Path) -> None:
    """Empty values of the sample file's commented lines, once uncommented, mean the default."""
    settings = _load(tmp_path, "interface =\naddress =\nport =\nsocket =\nstate =\nserver_name =\n")
    assert settings == ServerSettings(configdir=tmp_path)


def test_unknown_keys_are_noted(tmp_path: Path) -> None:
    """What the file has too much is ignored, and noted with its line."""
    settings = _load(tmp_path, "prot = 4\n[server]\nport = 5\n")
    assert settings.port == 0
    assert settings.notices == (
        f"{tmp_path}/mandos.conf: line 3: unknown section 'server' is ignored",
        f"{tmp_path}/mandos.conf: line 2: unknown option 'prot' is ignored; is it port?",
    )


WRONG_LINES = [
    *[
        (f"port = {port}", "expected a TCP port from 0 (any) to 65535")
        for port in ("0x10", "70000", "-1", "٣", "1_0", "+1", "1.0", "http", "9" * 5000)
    ],
    *[(f"socket = {text}", "expected the number of an open") for text in ("x", "-1", "9" * 9)],
    ("debug = maybe", "expected 1, yes, true, on, 0, no, false or off, not 'maybe'"),
    ("use_ipv6 =", "expected 1, yes, true"),
    ("interface = a-name-that-is-too-long", "expected the name of a network interface"),
    ("interface = a/b", "expected the name of a network interface"),
    ("servicename =", "expected a name of 1 to 63 bytes"),
    ("servicename = " + "ä" * 32, "expected a name of 1 to 63 bytes"),
    ("servicename = a\n b", "expected text without control characters"),
    ("priority =", "expected a GnuTLS priority string"),
    ("statedir =", "expected a directory"),
    *[
        (f"checkers = {text}", "expected a whole number from 1 to 4096, not ")
        for text in ("", "0", "4097", "-1", "1e3", "0x10", "٣", "many", "9" * 5000)
    ],
    *[
        (f"audit_records = {text}", "expected a whole number from 1000 to 10000000, not ")
        for text in ("", "0", "999", "10000001", "1_000_000", "1000.0")
    ],
    *[
        (f"link_loss = {text}", f"expected expire or hold, not '{text}'")
        for text in ("", "yes", "holds")
    ],
    *[
        (f"state = {text}", "expected a PostgreSQL database, as postgresql://HOST/DATABASE or in")
        for text in (
            "/var/lib/mandos",
            "sqlite:///var/lib/mandos.db",
            "mandos",
            "host=a b",
            "=a",
            "Host=a",
            "host='a",
            "mysql://u:p@h/mandos",
            "postgresql:/a",
            "host=a port =",
        )
    ],
    ("state = postgresql://a/\n mandos", "expected text without control characters"),
    *[
        (f"server_name = {text}", "expected a name of 1 to 63 bytes, without spaces and slashes")
        for text in ("a b", "a/b", "ä" * 32)
    ],
    ("server_name = a\n b", "expected text without control characters"),
    *[
        (f"{key} = {text}", f"expected a duration such as PT5M or 5m (0: PT0S), not '{text}'")
        for key in ("without_database", "without_database_at_boot")
        for text in ("", "0", "yes", "-1m", "P2000Y", "1.5h")
    ],
    *[
        (f"{key} = 2", "expected 1, yes, true, on, 0, no, false or off, not '2'")
        for key in ("debug", "use_dbus", "use_ipv6", "restore", "foreground", "zeroconf")
    ],
    *[
        (f"address = {text}", f"expected an IPv6 address, not '{text}'")
        for text in ("192.0.2.3", "localhost", "::g", "[::1]", "fe80::1%")
    ],
]


@pytest.mark.parametrize(("line", "expected"), WRONG_LINES)
def test_wrong_values_in_the_file(tmp_path: Path, line: str, expected: str) -> None:
    """An error names file, line, section, option and what is expected."""
    with pytest.raises(AdministratorError) as caught:
        _load(tmp_path, line)
    option = line.split(maxsplit=1)[0]
    assert str(caught.value).startswith(f"{tmp_path}/mandos.conf: line 2: [DEFAULT] {option}: ")
    assert expected in str(caught.value)
    assert not isinstance(caught.value, UsageError)


WRONG_COMMANDS = [
    ["--port", "70000"], ["--port", "0x10"], ["--port"], ["--socket", "x"], ["--socket=-1"],
    ["--debuglevel", "LOUD"], ["--nosuch"], ["rest"], ["--debug=1"], ["--interface", "a b"],
    ["--priority", ""], ["--statedir", ""], ["--configdir", ""], ["--servicename", "\udcff"],
    ["--servicename", ""], ["--checkers", "0"], ["--checkers=4097"], ["--link-loss", "no"],
    ["--link-loss="], ["--audit-records", "999"], ["--audit-records=1e6"], ["--check=yes"],
    ["--state", "/var/lib/mandos"], ["--server-name", "a b"], ["--without-database", "5"],
    ["--move-state", "database"], ["--move-state"],
    ["--without-database-at-boot=never"],
    ["--address", "192.0.2.3"], ["-a", "::1", "--no-ipv6"], ["--interface", "x" * 16],
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://",
        "postgres://mandos@db1.example:5433,db2.example/mandos?sslmode=verify-full",
        "postgresql://%2Frun%2Fpostgresql/mandos",
        "service=mandos",
        "host = db1.example,db2.example dbname='a \\'b\\'' password=a\\ b",
    ],
)
def test_databases_of_the_state(tmp_path: Path, text: str) -> None:
    """A state is in a PostgreSQL database as libpq names it: a URI, or words."""
    assert _load(tmp_path, f"state = {text}").state == text
    assert load(["--configdir", str(tmp_path), "--state", text]).state == text


def test_passwords_of_the_state_are_not_shown(tmp_path: Path) -> None:
    """Neither an error nor the settings in a traceback show the password in a connection."""
    for text in (
        "mysql://mandos:hunter2@db/mandos",
        "password:hunter2",
        "postgres://x:hunter2\n a",
    ):
        with pytest.raises(AdministratorError) as caught:
            _load(tmp_path, f"state = {text}")
        assert "hunter2" not in str(caught.value) + str(caught.value.hint)
        with pytest.raises(UsageError) as wrong:
            load(["--configdir", str(tmp_path), f"--state={text}"])
        assert "hunter2" not in str(wrong.value) + str(wrong.value.hint)
    settings = _load(tmp_path, "state = postgresql://mandos:hunter2@db/mandos")
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("keeper", "keeper"),
        ("a b/c\x07", "abc"),
        ("ä" * 40, "ä" * 31),
        ("", "mandos"),
    ],
)
def test_server_name_is_the_host_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    """The name of a server is that of its machine, cut to the form that a name has."""
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert _load(tmp_path, "").server_name == name
    assert _load(tmp_path, "server_name =").server_name == name


@pytest.mark.parametrize("arguments", WRONG_COMMANDS)
def test_wrong_command_lines(tmp_path: Path, arguments: list[str]) -> None:
    """A wrong command line is a usage error that names the option."""
    with pytest.raises(UsageError) as caught:
        load(["--configdir", str(tmp_path), *arguments])
    assert arguments[0].split("=")[0] in str(caught.value)


@pytest.mark.parametrize("address", ["::1", "::FFFF:192.0.2.3", "fe80::1%eth0", "::"])
def test_ipv6_addresses(tmp_path: Path, address: str) -> None:
    """An address is IPv6, IPv4-mapped or with a scope too."""
    assert _load(tmp_path, "", "-a", address).address == address


def test_what_is_no_ipv6_address(tmp_path: Path) -> None:
    """A plain IPv4 address is refused with the form that is right."""
    with pytest.raises(AdministratorError) as caught:
        _load(tmp_path, "address = 192.0.2.3")
    assert caught.value.hint == "write an IPv4 address as ::ffff:192.0.2.3"


def test_ipv4_address_only_without_ipv6(tmp_path: Path) -> None:
    """Without IPv6 the address is an IPv4 address, wherever each of the two is set."""
    assert _load(tmp_path, "address = 192.0.2.3", "--no-ipv6").address == "192.0.2.3"
    with pytest.raises(AdministratorError) as caught:
        _load(tmp_path, "use_ipv6 = no\naddress = ::1")
    assert str(caught.value) == (
        f"{tmp_path}/mandos.conf: line 3: [DEFAULT] address: expected an IPv4 address, not '::1'"
    )


def test_all_wrong_values_of_the_file_are_shown_together(tmp_path: Path) -> None:
    """One start shows every mistake."""
    with pytest.raises(AdministratorError) as caught:
        _load(tmp_path, "port = x\nrestore = no\ncheckers = 0")
    assert [line.split(": ")[1] for line in caught.value.lines()[:-1]] == ["line 2", "line 4"]
    assert caught.value.hint == "see mandos.conf(5)"


@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_every_option_has_a_test_of_its_wrong_values(name: str) -> None:
    """No option of the table can be forgotten by the tests of wrong values above."""
    (row,) = (row for row in ROWS if row.name == name)
    if row.in_file:
        assert any(line.startswith(f"{name} =") for line, _expected in WRONG_LINES)
    if row.value is not None:
        assert any(command[0].startswith(row.flags) for command in WRONG_COMMANDS)


def test_check_is_for_the_command_line_only(tmp_path: Path) -> None:
    """--check in the file would keep the server from ever starting."""
    assert load(["--configdir", str(tmp_path), "--check"]).check
    settings = _load(tmp_path, "check = yes\ndebuglevel = DEBUG\nconfigdir = /x")
    assert not settings.check
    assert len(settings.notices) == 3


#: Every key of the reference's own file, with what it holds there, no longer commented out.
REFERENCE_FILE = """interface =
address =
port =
debug = False
priority = SECURE256:!CTYPE-X.509:+CTYPE-OPENPGP:!RSA:+SIGN-DSA-SHA256
servicename = Mandos
use_dbus = True
use_ipv6 = True
restore = True
statedir = /var/lib/mandos
foreground = False
socket =
zeroconf = True
"""


def test_the_reference_s_file_means_the_defaults(tmp_path: Path) -> None:
    """A file for the reference, every key of it in use, is read without a remark."""
    settings = _load(tmp_path, REFERENCE_FILE)
    priority = "SECURE256:!CTYPE-X.509:+CTYPE-OPENPGP:!RSA:+SIGN-DSA-SHA256"
    assert settings == ServerSettings(configdir=tmp_path, priority=priority)


@pytest.mark.peer
@pytest.mark.parametrize("used", [False, True], ids=["commented out", "in use"])
def test_the_installed_file_of_the_reference(tmp_path: Path, used: bool) -> None:  # noqa: FBT001
    """The file of Debian's package, as it is and with all its keys in use."""
    path = Path("/etc/mandos/mandos.conf")
    if not path.exists():
        pytest.skip("the Debian package mandos is not installed")
    text = path.read_text(encoding="utf-8")
    (tmp_path / "mandos.conf").write_text(
        re.sub("^;", "", text, flags=re.MULTILINE) if used else text, encoding="utf-8"
    )
    assert load(["--configdir", str(tmp_path)]).notices == ()


def test_without_zeroconf_a_port_or_a_socket_is_required(tmp_path: Path) -> None:
    """Nobody could find an arbitrary port that is not announced."""
    with pytest.raises(AdministratorError, match="without Zeroconf") as caught:
        _load(tmp_path, "zeroconf = no")
    assert caught.value.hint is not None
    assert _load(tmp_path, "zeroconf = no\nport = 1025").port == 1025
    assert _load(tmp_path, "zeroconf = no\nsocket = 3").socket == 3


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that is there but cannot be read is an error, not a reason for defaults."""
    (tmp_path / "mandos.conf").mkdir()
    with pytest.raises(AdministratorError, match=r"mandos\.conf is a directory, not a file"):
        load(["--configdir", str(tmp_path)])
    (tmp_path / "mandos.conf").rmdir()
    (tmp_path / "mandos.conf").symlink_to(tmp_path / "nowhere")
    with pytest.raises(
        AdministratorError, match=r"cannot read .*mandos\.conf: it is a symbolic link to"
    ):
        load(["--configdir", str(tmp_path)])


@pytest.mark.parametrize("option", ["--help", "-h", "--version", "-v"])
def test_help_and_version_end_the_program_well(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """--help shows every option; --version shows program and version as GNU programs do."""
    with pytest.raises(SystemExit) as caught:
        load([option])
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    if "v" in option:
        assert shown == "mandos 0.2.0\n"
    else:
        assert all(flag in shown for row in ROWS for flag in row.flags)
