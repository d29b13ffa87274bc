# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's command line and ``mandos.conf``: precedence, defaults, and every wrong value."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mandos.errors import AdministratorError, UsageError
from mandos.server.settings import ServerSettings, load
from mandos.wire import grammar


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The path of a mandos.conf that does not exist yet."""
    return tmp_path / "mandos.conf"


def _load(conf: Path, *arguments: str) -> ServerSettings:
    return load(["--configdir", str(conf.parent), *arguments])


def test_defaults_are_those_of_the_manual_page(conf: Path) -> None:
    """Without options and without a file."""
    settings = _load(conf)
    assert settings.statedir == Path("/var/lib/mandos")
    assert (settings.servicename, settings.priority) == ("Mandos", grammar.PRIORITY)
    assert settings.use_ipv6
    assert settings.use_dbus
    assert settings.restore
    assert settings.zeroconf
    assert not settings.foreground
    assert (settings.port, settings.socket) == (0, None)


def test_command_line_overrides_file_overrides_default(conf: Path) -> None:
    """Each in turn."""
    conf.write_text("[DEFAULT]\nport = 1234\nservicename: House\nuse_dbus = off\n")
    settings = _load(conf, "--port", "99")
    assert (settings.port, settings.servicename, settings.use_dbus) == (99, "House", False)
    assert settings.configdir == conf.parent


def test_every_key_of_the_file(conf: Path) -> None:
    """All keys of mandos.conf(5) are known; a percent sign is itself."""
    conf.write_text(
        "[DEFAULT]\ninterface = eth0\naddress = ::1\nport = 1\ndebug = no\n"
        "priority = NORMAL:%PROFILE_ULTRA\nservicename = x\nuse_dbus = no\nuse_ipv6 = yes\n"
        "restore = 0\nstatedir = /s\nsocket = 3\nforeground = TRUE\nzeroconf = Off\n"
    )
    assert _load(conf) == ServerSettings(
        interface="eth0", address="::1", port=1, priority="NORMAL:%PROFILE_ULTRA",
        servicename="x", use_dbus=False, restore=False, statedir=Path("/s"), socket=3,
        foreground=True, zeroconf=False, configdir=conf.parent,
    )  # fmt: skip


def test_debug_implies_foreground(conf: Path) -> None:
    """Debug mode stays on the console and logs everything."""
    settings = _load(conf, "--debug")
    assert settings.foreground
    assert settings.log_level == logging.DEBUG
    assert _load(conf, "--debuglevel", "warning").log_level == logging.WARNING


def test_empty_values_mean_the_default(conf: Path) -> None:
    """The lines that the reference's mandos.conf has, uncommented and left empty."""
    conf.write_text("[DEFAULT]\ninterface =\naddress =\nport =\nsocket =\n")
    assert _load(conf) == ServerSettings(configdir=conf.parent)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("port = 70000", "port: expected a TCP port from 0 (any) to 65535, not '70000'"),
        ("port = 0x10", "not '0x10'"),
        ("port = ٣", "not '٣'"),
        ("port = -1", "not '-1'"),
        ("use_ipv6 = perhaps", "expected 1, yes, true, on, 0, no, false or off, not 'perhaps'"),
        ("debug =", "not ''"),
        ("socket = three", "expected a whole number, not 'three'"),
        ("interface = /dev/null", "expected the name of a network interface"),
        ("interface = " + "x" * 16, "expected the name of a network interface"),
        ("servicename =", "expected a name of 1 to 63 bytes"),
        ("servicename = " + "x" * 64, "expected a name of 1 to 63 bytes"),
        ("priority =", "expected a GnuTLS priority string"),
    ],
)
def test_bad_value_names_file_section_and_option(conf: Path, line: str, complaint: str) -> None:
    """An error says where it is and what is expected."""
    conf.write_text(f"[DEFAULT]\n{line}\n")
    with pytest.raises(AdministratorError) as caught:
        _load(conf)
    assert str(caught.value).startswith(f"{conf}: [DEFAULT] {line.split(maxsplit=1)[0]}: expected ")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = 1\n", "line 1: a [section] must come before the first option"),
        ("[DEFAULT]\nport = 1\nport = 2\n", "line 3: [DEFAULT] port is given a second time"),
        ("[DEFAULT]\nwhat\n", "line 2: expected option = value, not 'what"),
    ],
)
def test_broken_file_names_the_line(conf: Path, text: str, complaint: str) -> None:
    """A file that is no INI file is refused with the line number."""
    conf.write_text(text)
    with pytest.raises(AdministratorError) as caught:
        _load(conf)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("data", "complaint"), [(b"\xff\xfe", "is not UTF-8"), (b"[DEFAULT]\n#\0\n", "null bytes")]
)
def test_binary_file_is_no_configuration(conf: Path, data: bytes, complaint: str) -> None:
    """Bytes that are no text are refused as such."""
    conf.write_bytes(data)
    with pytest.raises(AdministratorError, match=complaint):
        _load(conf)


def test_unreadable_file_is_an_error(conf: Path) -> None:
    """A mandos.conf that is there has to be readable."""
    conf.mkdir()
    with pytest.raises(AdministratorError, match="Is a directory"):
        _load(conf)


def test_unknown_options_are_told_and_ignored(conf: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in the reference, but not in silence."""
    caplog.set_level(logging.INFO)
    conf.write_text("[DEFAULT]\ncolour = red\n[more]\nx = y\n")
    assert _load(conf) == ServerSettings(configdir=conf.parent)
    assert "unknown option colour is ignored" in caplog.text
    assert "unknown section [more] is ignored" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "x"], "--port: expected a TCP port"),
        (["--debuglevel", "loud"], "--debuglevel: expected one of CRITICAL, ERROR"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--port"], "expected one argument"),
    ],
)
def test_bad_command_line(conf: Path, arguments: list[str], complaint: str) -> None:
    """A usage error names the option."""
    with pytest.raises(UsageError) as caught:
        _load(conf, *arguments)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--no-zeroconf"], "without Zeroconf clients cannot find out the port"),
        (["--address", "192.0.2.1"], "'192.0.2.1' is not an IPv6 address"),
        (["--no-ipv6", "--address", "::1"], "'::1' is not an IPv4 address"),
        (["--address", "house"], "'house' is not an IPv6 address"),
    ],
)
def test_options_that_do_not_go_together(conf: Path, arguments: list[str], complaint: str) -> None:
    """Rules that tie options to each other hold wherever the values came from."""
    with pytest.raises(AdministratorError) as caught:
        _load(conf, *arguments)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("address", ["::", "::1", "::ffff:192.0.2.1", "fe80::1%eth0"])
def test_ipv6_addresses(conf: Path, address: str) -> None:
    """IPv6, IPv4-mapped and scoped addresses pass."""
    assert _load(conf, "--address", address).address == address


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Both answer on standard output and exit with 0."""
    for option, expected in (("--help", "--no-zeroconf"), ("--version", "mandos 0.")):
        with pytest.raises(SystemExit) as caught:
            load([option])
        assert caught.value.code == 0
        assert expected in capsys.readouterr().out
