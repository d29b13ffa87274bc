# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The early-boot programs' command lines, and those of mandos-client in particular."""

from __future__ import annotations

import pytest

import mandos
from mandos import keyfiles
from mandos.client.settings import COMMAND_LINE, Address, ClientOptions
from mandos.errors import UsageError
from mandos.wire import grammar


def _settings(*arguments: str) -> ClientOptions:
    return ClientOptions(COMMAND_LINE.parse(arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seckey=key", "--debug"],
        ["--seckey", "key", "--debug"],
        ["-s", "key", "--debug"],
        ["-skey", "--deb"],
        ["--seckey=other", "--debug", "--seckey=key"],
        ["--debug", "--sec=key", "--"],
    ],
)
def test_forms_of_an_option(arguments: list[str]) -> None:
    """GNU forms all mean the same, and the last value counts."""
    settings = _settings(*arguments)
    assert settings.seckey == "key"
    assert settings.debug


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--nonsense"], "unknown option --nonsense"),
        (["-x"], "unknown option -x"),
        (["--seckey"], "--seckey needs a value"),
        (["-s"], "--seckey needs a value"),
        (["--debug=yes"], "--debug takes no value"),
        (["--d"], "could mean --dh-bits, --dh-params, --delay, --debug"),
        (["word"], "'word' is not an option"),
        (["--", "word"], "'word' is not an option"),
        (["--retry=soon"], "--retry takes a number of seconds, not 'soon'"),
        (["--retry=-1"], "--retry takes a number of seconds"),
        (["--retry=nan"], "--retry takes a number of seconds"),
        (["--retry=inf"], "--retry takes a number of seconds"),
        (["--delay=x"], "--delay takes a number of seconds"),
        (["--dh-bits=many"], "--dh-bits takes a whole number"),
    ],
)
def test_bad_command_line_says_what_is_wrong(arguments: list[str], complaint: str) -> None:
    """Whatever the table does not have is refused, by name."""
    with pytest.raises(UsageError) as caught:
        _settings(*arguments)
    assert complaint in str(caught.value)
    assert caught.value.exit_code == 64


def test_defaults_are_those_of_the_manual_page() -> None:
    """Without options: this machine's keys, a retry every ten seconds."""
    settings = _settings()
    assert settings.tls_privkey == f"{keyfiles.default_folder()}/tls-privkey.pem"
    assert settings.seckey == f"{keyfiles.default_folder()}/seckey.txt"
    assert (settings.retry, settings.priority) == (10.0, grammar.PRIORITY)
    assert settings.connect == settings.servers == []
    assert settings.interfaces == []


@pytest.mark.parametrize(
    ("text", "host", "port", "interface"),
    [
        ("192.0.2.1:4711", "192.0.2.1", 4711, ""),
        ("fe80::aede:48ff:fe71:f6f2:4711", "fe80::aede:48ff:fe71:f6f2", 4711, ""),
        ("fe80::1%eth0:4711", "fe80::1", 4711, "eth0"),
        ("[fe80::1%eth0]:4711", "fe80::1", 4711, "eth0"),
        ("::1:80", "::1", 80, ""),
        ("server.example:4711", "server.example", 4711, ""),
    ],
)
def test_connect_address(text: str, host: str, port: int, interface: str) -> None:
    """The last colon separates the port; the interface may stand behind a percent sign."""
    address = Address.parse(text)
    assert (address.host, address.port, address.interface) == (host, port, interface)


@pytest.mark.parametrize("text", ["", "host", "192.0.2.1", "1.2.3.4:0", "::1:99999", "1.2.3:4711",
                                  "192.0.2.1:-4", "192.0.2.1:٣", "-host:1", "a b:1"])  # fmt: skip
def test_bad_connect_address(text: str) -> None:
    """Whatever is not an address, or a name that can be one, and a port is refused."""
    with pytest.raises(UsageError, match="--connect"):
        Address.parse(text)


def test_interfaces_add_up() -> None:
    """Over commas and repetitions; what "none" means is the selection's affair."""
    assert _settings("-i", "eth0,eth1", "-i", "eth2").interfaces == ["eth0", "eth1", "eth2"]
    assert _settings("-i", "eth0,none", "-i", "eth2").interfaces == ["eth0", "none", "eth2"]


#: Misspelled words, and the options that they are like; some are like none.
MISSPELLED = {
    "--conect=[::1]:4711": "connect",
    "--intreface=eth0": "interface",
    "--interfaces=eth0": "interface",
    "--tls_privkey=x": "tls-privkey",
    "--sec-key=x": "seckey",
    "--debugg": "debug",
    "connect=[::1]:4711": "connect",
    "interface=eth0": "interface",
    "--nonsense": None,
    "--q": None,
    "--" + 4000 * "connect": None,
    "word": None,
}


@pytest.mark.parametrize("word", MISSPELLED)
def test_misspelled_option_is_answered_with_the_nearest(word: str) -> None:
    """Whoever has mistyped an option is told which one was meant, else where to look."""
    with pytest.raises(UsageError) as caught:
        _settings(word)
    meant = MISSPELLED[word]
    wanted = f"did you mean --{meant}?" if meant else "see mandos-client --help"
    assert caught.value.hint == wanted


def test_help_names_every_option() -> None:
    """The help has a line for each option; usage and version answer too."""
    text = COMMAND_LINE.answer(COMMAND_LINE.parse(["--help"])) or ""
    usage = COMMAND_LINE.answer(COMMAND_LINE.parse(["--usage"])) or ""
    for option in COMMAND_LINE.options:
        assert f"--{option.long}" in text
        assert f"--{option.long}" in usage
    version = COMMAND_LINE.answer(COMMAND_LINE.parse(["-V"]))
    assert version == f"mandos-client {mandos.__version__}"


def test_a_lenient_reading_skips_what_is_wrong() -> None:
    """Every mistake is returned, in order, and the words after it are read."""
    given, errors = COMMAND_LINE.parse_lenient(["--nonsense", "-i", "eth0", "word", "--seckey"])
    assert given.pairs == [("interface", "eth0")]
    assert [str(error) for error in errors] == [
        "unknown option --nonsense",
        "'word' is not an option",
        "--seckey needs a value (FILE)",
    ]


def test_later_options_are_added() -> None:
    """In a sum the later ones count, and repeated ones add up."""
    total = COMMAND_LINE.parse(["-i", "a", "-s", "x"]) + COMMAND_LINE.parse(["-i", "b", "-s", "y"])
    assert total.all("interface") == ["a", "b"]
    assert total.text("seckey", "") == "y"
