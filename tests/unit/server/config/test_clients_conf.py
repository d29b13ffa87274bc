# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""clients.conf: its format, as the reference server reads it, every option, every mistake."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from mandos.client_settings import ClientSettings
from mandos.errors import AdministratorError
from mandos.server.config.clients_conf import load_clients, read_clients
from mandos.server.config.parsers import RUNTIME_NAMES
from mandos.wire import key_id

KEY = "f90c7a81d72d1ea69a51031a91ff8885f36c8b46d155c8c58709a4c99ae9e361"
KEY_LINE = f"key_id = {KEY}\n"
SECRET_LINE = "secret = aGVsbG8=\n"


def _write(folder: Path, text: str | bytes) -> Path:
    path = folder / "clients.conf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def _load(folder: Path, text: str) -> list[ClientSettings]:
    return load_clients(_write(folder, text).parent)


def _one(folder: Path, lines: str) -> ClientSettings:
    (client,) = _load(folder, f"[foo]\n{KEY_LINE}{SECRET_LINE}{lines}")
    return client


def _remarks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The remarks but for those on hosts and secrets, which the clients of these tests lack."""
    usual = ("the secret of", "host is missing")
    return [text for text in caplog.messages if not text.startswith(usual)]


def _problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(AdministratorError) as caught:
        _load(folder, text)
    return str(caught.value).replace(f"{folder}/clients.conf: ", "").splitlines()


def _problem(folder: Path, line: str) -> str:
    (problem,) = _problems(folder, f"[foo]\n{KEY_LINE}{line}\n")
    return problem


def test_defaults(tmp_path: Path) -> None:
    """A key ID and a secret are enough; the rest is as the manual page says."""
    assert _one(tmp_path, "") == ClientSettings(
        name="foo", key_id=KEY, fingerprint="", secret=b"hello", host="",
        checker="fping -q -- %(host)s", timeout=timedelta(minutes=5),
        extended_timeout=timedelta(minutes=15), interval=timedelta(minutes=2),
        approval_delay=timedelta(0), approval_duration=timedelta(seconds=1),
        approved_by_default=True, enabled=True,
    )  # fmt: skip


def test_every_option(tmp_path: Path) -> None:
    """All options are read; option names in any case, = or : between."""
    (client,) = _load(
        tmp_path,
        f"[foo.example.org]\nKEY_ID: {KEY.upper()[:32]} {KEY[32:]}\n"
        "Fingerprint =  7788 2722 5BA7 DE53 9C5A  7CFA 59CF F7CD BD9A 5920\n"
        "secret:\n  aGVs\n\tbG8=\nhost = foo.example.org\nchecker = ping %%(host)s\n"
        "timeout = PT1H\nextended_timeout = P1D\ninterval = 5m 30s\napproval_delay = PT30S\n"
        "approval_duration = PT1M\napproved_by_default = off\nenabled = No\n",
    )
    assert client == ClientSettings(
        name="foo.example.org", key_id=KEY,
        fingerprint="778827225ba7de539c5a7cfa59cff7cdbd9a5920", secret=b"hello",
        host="foo.example.org", checker="ping %(host)s", timeout=timedelta(hours=1),
        extended_timeout=timedelta(days=1), interval=timedelta(minutes=5, seconds=30),
        approval_delay=timedelta(seconds=30), approval_duration=timedelta(minutes=1),
        approved_by_default=False, enabled=False,
    )  # fmt: skip


def test_secret_never_shows(tmp_path: Path) -> None:
    """A client's description, as a log may show it, has no secret in it."""
    assert "hello" not in repr(_one(tmp_path, ""))


def test_section_wins_over_default(tmp_path: Path) -> None:
    """[DEFAULT] holds for all sections, before and after it, unless they say otherwise."""
    first, second = _load(
        tmp_path,
        f"[a]\n{KEY_LINE}host = a\n[DEFAULT]\nhost = d\n{SECRET_LINE}"
        f"[b]\nkey_id = {'ab' * 32}\n[DEFAULT]\ntimeout = PT1S\n",
    )
    assert (first.host, second.host) == ("a", "d")
    assert first.timeout == second.timeout == timedelta(seconds=1)


def test_syntax_as_the_reference_reads_it(tmp_path: Path) -> None:
    """Comments between continuation lines vanish, blank lines stay, a late ; is no comment.

    Seen in the reference's server, version 1.8.16, over D-Bus.
    """
    client = _one(
        tmp_path,
        "x = 100%%\nhost = %(X)s ; no comment\n"
        "checker = a = b : c\n   cont\n   ; a comment\n# another\n\tmore\n\n   after blank\n",
    )
    assert client.host == "100% ; no comment"
    assert client.checker == "a = b : c\ncont\nmore\n\nafter blank"


def test_empty_checker_is_allowed(tmp_path: Path) -> None:
    """As with the reference: an empty checker is a checker that always succeeds."""
    assert _one(tmp_path, "checker =").checker == ""


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    """Files written on other systems are read."""
    text = f"\ufeff[foo]\r\n{KEY_LINE}{SECRET_LINE}host = föö".replace("\n", "\r\n")
    assert _load(tmp_path, text)[0].host == "föö"


def test_no_clients(tmp_path: Path) -> None:
    """As with the reference: a file without clients is not an error."""
    assert _load(tmp_path, "") == _load(tmp_path, "# nothing\n[DEFAULT]\n") == []


def test_expansion_takes_the_section_first(tmp_path: Path) -> None:
    """%(name)s is the section's option, else that of [DEFAULT], and may hold more of them."""
    (client,) = _load(
        tmp_path,
        "[DEFAULT]\ndomain = example.org\nhost = %(short)s.%(domain)s\n"
        f"[foo]\n{KEY_LINE}{SECRET_LINE}short = foo\ndomain = example.net\n",
    )
    assert client.host == "foo.example.net"


def test_unknown_options_are_ignored_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown option, even one that could not be expanded, is noted at level info."""
    caplog.set_level(logging.INFO)
    _one(tmp_path, "colour = 50% grey")
    assert _remarks(caplog) == [
        f"{tmp_path}/clients.conf: line 4: unknown option colour is ignored"
    ]


@pytest.mark.parametrize("name", sorted(RUNTIME_NAMES))
def test_checker_may_name_what_is_known_at_run_time(tmp_path: Path, name: str) -> None:
    """Every name of the manual page may stand in a checker; %%%% is a percent sign."""
    assert _one(tmp_path, f"checker = a %%({name})s %%%%").checker == f"a %({name})s %%"


@pytest.mark.parametrize(
    ("checker", "expected"),
    [
        ("ping %%(hots)s", "expected one of approval_delay, "),
        ("ping %%(host)d", "expected %%(name)s after a percent sign"),
        ("ping %%s", "expected %%(name)s after a percent sign"),
        ("ping 5%%", "expected %%(name)s after a percent sign"),
        ("ping %%(host)99999999s", "expected %%(name)s after a percent sign"),
        ("ping 50% full", "expected %(name)s after a percent sign, or %% for the sign itself"),
        ("ping %(nosuch)s", "expected an option nosuch in this section or in [DEFAULT]"),
        ("ping %(checker)s", "expected expansions that come to an end"),
    ],
)
def test_bad_expansions_are_found_at_start(tmp_path: Path, checker: str, expected: str) -> None:
    """Neither expansion of the checker can fail later, when nobody looks."""
    problem = _problem(tmp_path, f"{SECRET_LINE}checker = {checker}")
    assert problem.startswith(f"line 4: [foo] checker: {expected}")


def test_expansion_is_bounded(tmp_path: Path) -> None:
    """Ten lines cannot grow into gigabytes."""
    lines = "".join(f"a{n} = {f'%(a{n + 1})s' * 9}\n" for n in range(8))
    problem = _problem(tmp_path, f"{SECRET_LINE}a8 = {'x' * 99}\n{lines}host = %(a0)s")
    assert "host: expected expansions that come to an end" in problem


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("timeout = soon", "'soon' is not a duration"),
        ("timeout =", "'' is not a duration"),
        ("extended_timeout = PT1.5S", "'PT1.5S' is not a duration"),
        ("interval = PT0S", "expected more than no time, not 'PT0S'"),
        ("interval = -1s", "'-1s' is not a duration"),
        ("approval_delay = 5", "'5' is not a duration"),
        ("approval_duration = P9999Y", "the duration 'P9999Y' is longer than 1000 years"),
        ("approved_by_default = maybe", "expected 1, yes, true, on, 0, no, false or off, not"),
        ("enabled =", "expected 1, yes, true, on, 0, no, false or off, not ''"),
        ("fingerprint = xyz", "expected at most 128 hexadecimal digits, not 'xyz'"),
    ],
)
def test_wrong_values(tmp_path: Path, line: str, expected: str) -> None:
    """A problem names the line, the section, the option and what is expected."""
    problem = _problem(tmp_path, SECRET_LINE + line)
    assert problem.startswith(f"line 4: [foo] {line.split(maxsplit=1)[0]}: {expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[foo]\n" + SECRET_LINE, "line 1: [foo] key_id is missing; mandos-keygen"),
        ("[foo]\nkey_id =\n" + SECRET_LINE, "line 1: [foo] key_id is missing; mandos-keygen"),
        ("[foo]\n" + KEY_LINE, "line 1: [foo] secret (or secfile) is missing; mandos-keygen"),
        (f"[foo]\nkey_id = {KEY[1:]}\n{SECRET_LINE}", "line 2: [foo] key_id: a key ID has 64 hex"),
        (
            f"[foo]\nkey_id = {key_id.OF_NOTHING}\n{SECRET_LINE}",
            "line 2: [foo] key_id: this key ID is the SHA-256 of nothing",
        ),
        ("[f\x1bo]\n" + KEY_LINE + SECRET_LINE, "expected a name without control characters"),
    ],
)
def test_what_every_client_needs(tmp_path: Path, text: str, expected: str) -> None:
    """A client without a key or a secret, or whose key names nobody, is an error."""
    (problem,) = _problems(tmp_path, text)
    assert expected in problem


def test_fingerprint_alone_is_enough(tmp_path: Path) -> None:
    """A client of before 2019 is kept, though nobody can ask for its secret any more."""
    (client,) = _load(tmp_path, f"[foo]\nfingerprint = ABCD\n{SECRET_LINE}")
    assert (client.key_id, client.fingerprint) == ("", "abcd")


@pytest.mark.parametrize(
    "secret", ["aGV*sbG8=", "aGVsbG8", "aGVsbG8=aGVs", "aGVsbG8==", "=", "hello there", "aGVsbé8="]
)
def test_base64_rubbish(tmp_path: Path, secret: str) -> None:
    """Base64 is read strictly, and what was there instead is not repeated: it may be secret."""
    problem = _problem(tmp_path, f"secret = {secret}")
    assert problem.startswith("line 3: [foo] secret: expected base64 lines")
    assert secret not in problem or secret == "="


def test_empty_secret(tmp_path: Path) -> None:
    """A secret of nothing opens no disk (the reference takes it)."""
    assert _problem(tmp_path, "secret =").startswith("line 3: [foo] secret: is empty")


def test_secret_wins_over_secfile(tmp_path: Path) -> None:
    """The file is not even looked at when there is a secret."""
    assert _one(tmp_path, "secfile = /nonexistent").secret == b"hello"


def test_secfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's bytes are the secret as they are; ~ and $VAR are expanded in its name."""
    (tmp_path / "secret").write_bytes(b"\0raw\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SECRETS", str(tmp_path))
    for name in ("~/secret", "$SECRETS/secret", f"{tmp_path}/secret"):
        (client,) = _load(tmp_path, f"[foo]\n{KEY_LINE}secfile = {name}\n")
        assert client.secret == b"\0raw\n"


def test_secfiles_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, empty, too large, or a thing whose reading may never end: named in the error."""
    monkeypatch.setattr("mandos.wire.grammar.SECRET_LIMIT", 4)
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(b"12345")
    os.mkfifo(tmp_path / "fifo")
    for name, expected in (
        ("empty", "is empty"), ("large", "is larger than 4 bytes"),
        ("fifo", "is a FIFO, not a file"), (".", "is a directory, not a file"),
    ):  # fmt: skip
        problem = _problem(tmp_path, f"secfile = {tmp_path}/{name}")
        assert problem.startswith("line 3: [foo] secfile: ")
        assert problem.endswith(expected)
    missing = _problem(tmp_path, "secfile = $NO_SUCH_VARIABLE/x")
    assert missing.endswith("cannot read $NO_SUCH_VARIABLE/x: No such file or directory")


def test_large_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the file has the same limit."""
    monkeypatch.setattr("mandos.wire.grammar.SECRET_LIMIT", 4)
    assert _problem(tmp_path, SECRET_LINE) == "line 3: [foo] secret: is larger than 4 bytes"


def test_shared_key_id(tmp_path: Path) -> None:
    """Two clients cannot have one key; the problem names both."""
    (problem,) = _problems(
        tmp_path,
        f"[foo]\n{KEY_LINE}{SECRET_LINE}\n[bar]\n{SECRET_LINE}key_id = {KEY.upper()}\n",
    )
    assert problem == "line 7: [bar] key_id: the same as that of line 1: [foo]"


def test_all_problems_are_shown_together(tmp_path: Path) -> None:
    """One start shows every mistake of the file."""
    problems = _problems(tmp_path, "[a]\nsecret = !\n[b]\ntimeout = x\nkey_id = y\n")
    assert [problem.partition(":")[0] for problem in problems] == [
        "line 2", "line 1", "line 4", "line 5", "line 3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[foo]\n[bar]\n[foo]\n", "line 3: there is a section [foo] at line 1 already"),
        (b"[foo]\nhost = a\nHOST = b\n", "line 3: [foo] has host at line 2 already"),
        (b"host = a\n", "line 1: a [section] must come before the first option"),
        (b"[foo]\nhost\n", "line 2: expected [section] or option = value"),
        (b"[foo]\n= x\n", "line 2: expected [section] or option = value"),
        (b"[foo]\n[]\n", "line 2: expected [section] or option = value"),
        (b"[foo]\nhost = a\0b\n", "null bytes"),
    ],
)
def test_broken_files(tmp_path: Path, text: bytes, expected: str) -> None:
    """What is not in the format is shown with its line, and earlier ones where they matter."""
    with pytest.raises(AdministratorError) as caught:
        load_clients(_write(tmp_path, text).parent)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/clients.conf")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[foo]\r\nhost = a\0b", "line 2: expected text, not null bytes"),
        ("[foo]\n".encode("utf-16"), "line 1: expected text, not null bytes"),
    ],
)
def test_not_text(tmp_path: Path, content: bytes, expected: str) -> None:
    """Bytes that are no text are refused, with the line where that shows."""
    with pytest.raises(AdministratorError) as caught:
        load_clients(_write(tmp_path, content).parent)
    assert str(caught.value) == (
        f"{tmp_path}/clients.conf: {expected}; is it a text file at all? save it as UTF-8"
    )


def test_missing_file(tmp_path: Path) -> None:
    """Without any file there is a hint how to make it."""
    with pytest.raises(AdministratorError, match="does not exist") as caught:
        load_clients(tmp_path)
    assert "mandos-keygen" in str(caught.value.hint)


def test_huge_file(tmp_path: Path) -> None:
    """A file that is far too large is not read at all."""
    path = _write(tmp_path, "")
    os.truncate(path, (64 << 20) + 1)
    with pytest.raises(AdministratorError, match=r"clients\.conf is larger than 64 MiB"):
        load_clients(tmp_path)


def test_exposed_file_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that everyone can read is used, with a warning that says how to mend it."""
    path = _write(tmp_path, "")
    path.chmod(0o644)
    load_clients(path.parent)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"chmod o-rwx {path}" in caplog.text


LINE = "hQIMA7Xq4Vb3mU1dAQ/+JmX8sVq0n2dW7pZc5yTzHk9aRb3LfGw6uEoQi4Kx1234"
END = "hQIMA7Xq4Vb3mU1dAQ/+JmX8sVq0n2dW7pZc5yTzHk9aRb3LfGw6uEoQi4Kx12=="


@pytest.mark.parametrize(
    "lines",
    [
        f"secret =\n{LINE}\n{LINE}\n{END}\n",
        f"secret =\n{END}\n",
        f"secret =\n  {LINE}\n\n{END}\n",
        f"secret = {LINE}\n{LINE}\n# and\n{END}\nhost = foo\n",
        f"secret =\n  {LINE}\n{END}",
        f"secret =\n  {LINE}\n \t{END}\n{END}",
        "secret =\n  aGVs\nbG8=\n",
    ],
)
def test_secret_that_is_not_indented(tmp_path: Path, lines: str) -> None:
    """Base64 at the margin is told once, with what to do, and without a byte of it."""
    (problem,) = _problems(tmp_path, f"[foo]\n{KEY_LINE}{lines}")
    assert problem.endswith("is this a continuation of secret? then indent it")
    assert not any(part in problem.lower() for part in ("hqima", "bg8"))


@pytest.mark.parametrize("lines", ["\n".join([LINE] * 3), f"colour=\n{LINE}\n"])
def test_base64_that_makes_an_error_elsewhere_is_not_shown(tmp_path: Path, lines: str) -> None:
    """Far from any secret, lines that are no options are not repeated either."""
    (problem, *_more) = _problems(tmp_path, f"[foo]\n{KEY_LINE}{SECRET_LINE}{lines}")
    assert "hqima" not in problem.lower()


@pytest.mark.parametrize("lines", [f"colour=\n{END}", f"{END[:-1]}x = y"])
def test_base64_that_is_taken_for_an_option_is_not_shown(
    tmp_path: Path, lines: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A remark names an unknown option only when it looks like a name."""
    caplog.set_level(logging.DEBUG)
    _one(tmp_path, lines)
    assert "unknown option is ignored" in caplog.text
    assert "hqima" not in caplog.text.lower()


@pytest.mark.parametrize("option", ["key_id", "fingerprint", "timeout", "enabled", "secfile"])
def test_secret_below_another_option_is_not_shown(tmp_path: Path, option: str) -> None:
    """When ``secret =`` itself is missing, its lines belong to the option above: not shown."""
    problems = _problems(tmp_path, f"[foo]\n{KEY_LINE[:-1]}{option} = PT5M\n  {LINE}\n  {END}\n")
    assert len(problems) >= 1
    assert "hQIMA" not in "".join(problems)


def test_secret_named_by_another_option_is_not_shown(tmp_path: Path) -> None:
    """An expansion may take the secret in; messages show what is written instead."""
    problem = _problem(tmp_path, f"secret = {LINE}\ntimeout = %(secret)s")
    assert problem == "line 4: [foo] timeout: '%(secret)s' is not valid"


def test_lines_of_a_secret_below_a_key_id(tmp_path: Path) -> None:
    """The message says how a key ID looks; the lines are not in it."""
    text = f"[foo]\nkey_id = zz\n  {LINE}\n{SECRET_LINE}"
    assert _problems(tmp_path, text) == ["line 2: [foo] key_id: a key ID has 64 hexadecimal digits"]


def test_empty_option_below_a_secret_is_no_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Words are options, known or not; what could be either is remarked without its name."""
    caplog.set_level(logging.INFO)
    assert _one(tmp_path, "whereabouts=\nhost=").host == ""
    assert _remarks(caplog) == [
        (
            f"{tmp_path}/clients.conf: line 4: unknown option is ignored; "
            "is this a continuation of secret? then indent it"
        )
    ]


def _many(count: int, lines: str) -> str:
    return "".join(f"[c{n}]\nkey_id = {n:064x}\n{SECRET_LINE}{lines}" for n in range(count))


def test_remarks_on_thousands_of_clients_are_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same remark comes once, with the first place and the number."""
    caplog.set_level(logging.INFO)
    assert len(_load(tmp_path, _many(3000, "x = y\n"))) == 3000
    assert _remarks(caplog) == [
        f"{tmp_path}/clients.conf: line 4: unknown option x is ignored (and 2999 more of these)"
    ]


def test_different_remarks_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred different remarks are enough."""
    caplog.set_level(logging.INFO)
    _one(tmp_path, "".join(f"x{n} = y\n" for n in range(3000)))
    assert len(_remarks(caplog)) == 101
    assert _remarks(caplog)[-1] == "there is more of this (and 2899 more of these)"


def test_problems_of_thousands_of_clients_are_bounded(tmp_path: Path) -> None:
    """A hundred problems are shown, and the number of the others."""
    problems = _problems(tmp_path, _many(3000, "timeout = x\n"))
    assert len(problems) == 101
    assert problems[-1] == "and 2900 more"
    syntax = _problems(tmp_path, "x\n" * 3000)
    assert len(syntax) == 100
    assert syntax[-1] == "line 100: too many mistakes: the rest is not read"


def test_wrong_default_is_one_problem(tmp_path: Path) -> None:
    """What [DEFAULT] has wrong is told once, where it stands, and only when it is used."""
    wrong = "[DEFAULT]\ntimeout = x\nhost = %(nosuch)s\n"
    (problem,) = _problems(tmp_path, wrong + _many(9, "host = y\n"))
    assert problem.startswith("line 2: [DEFAULT] timeout: 'x' is not a duration; write ")
    assert len(_load(tmp_path, wrong + _many(9, "host = y\ntimeout = PT1S\n"))) == 9


def test_default_that_depends_on_the_client_names_it(tmp_path: Path) -> None:
    """An expansion may fail for one client and not for another."""
    foo, bar = f"[foo]\n{KEY_LINE}{SECRET_LINE}", f"[bar]\nkey_id = {'ab' * 32}\n{SECRET_LINE}"
    problems = _problems(tmp_path, f"[DEFAULT]\nhost = %(short)s\n{foo}{bar}short = b\n")
    assert problems == [
        (
            "line 2: [DEFAULT] host: expected an option short in this section or in [DEFAULT] for "
            "%(short)s, not '%(short)s' (for [foo])"
        )
    ]


def test_client_that_is_never_approved_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused without anybody being asked: a client that never comes back from a reboot."""
    _load(tmp_path, "[DEFAULT]\napproved_by_default = no\n" + _many(12, ""))
    (remark,) = _remarks(caplog)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert remark.endswith(
        "nothing is ever sent to c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more"
    )
    caplog.clear()
    _one(tmp_path, "approved_by_default = no\napproval_delay = PT1S\n")
    assert _remarks(caplog) == []


def test_equal_values_are_shared(tmp_path: Path) -> None:
    """Thousands of clients do not hold thousands of copies of what they have in common."""
    one, two = _load(
        tmp_path,
        "[DEFAULT]\ntimeout = PT7M\nhost = h\n" + _many(2, "interval = PT3M\nchecker = a b\n"),
    )
    assert one.timeout is two.timeout
    assert one.interval is two.interval
    assert one.checker is two.checker
    assert one.host is two.host


def test_long_lines_cost_no_more_than_short_ones(tmp_path: Path) -> None:
    """Nothing in the reading takes time that grows faster than the file."""
    blanks = " " * (1 << 20)
    (problem,) = _problems(tmp_path, f"[foo]\nx{blanks}y\n")
    assert problem == "line 2: expected [section] or option = value"
    assert _one(tmp_path, f"host = a{blanks}b").host == f"a{blanks}b"
    assert _one(tmp_path, "host = a" + "\n" * (1 << 18) + " b").host == "a" + "\n" * (1 << 18) + "b"


# What a start does about mistakes


def _section(name: str, key: str, lines: str = "") -> str:
    return f"[{name}]\nkey_id = {key * 64}\n{SECRET_LINE}host = h\n{lines}"


def _start(folder: Path, text: str | bytes) -> tuple[set[str], str, set[str]]:
    """The clients that are served, the problems, and the clients that are known to be skipped."""
    reading = read_clients(_write(folder, text).parent)
    return {one.name for one in reading.clients}, "\n".join(reading.problems), set(reading.skipped)


#: What is wrong after a sound section alpha, and before a sound section omega.
MISTAKES = [
    ("[beta]\n", "key_id is missing"),
    (_section("beta", "b", "timeout = 5 minutes\n"), "'5 minutes' is not a duration"),
    (_section("beta", "b", "timeout = PT5M # five\n"), "a comment cannot stand behind a value"),
    (_section("beta", "b", "what is this\n"), "expected [section] or option = value"),
    (_section("beta", "b") + _section("beta", "c"), "there is a section [beta] at line"),
    (_section("beta", "b", "host = x\n"), "has host at line"),
    (_section("beta", "b", "host: x\nsecfile = /nowhere\n"), "has host at line"),
    (_section("beta", "a"), "key_id: the same as that of"),
    (_section("beta", "b").replace("aGVsbG8=", "aGVsbG8"), "secret: expected base64"),
    (_section("beta", "b", "checker = ping %%(hots)s\n"), "checker: expected one of"),
    ("[beta\nkey_id = 5\n", "expected [section] or option = value"),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[said for _text, said in MISTAKES])
def test_mistake_costs_its_own_section(tmp_path: Path, mistake: str, said: str) -> None:
    """Those before and after it are served, and the problem is told as at a reload."""
    text = _section("alpha", "a") + mistake + _section("omega", "e")
    served, problems, skipped = _start(tmp_path, text)
    assert served == {"alpha", "omega"}
    assert said in problems
    assert skipped in ({"beta"}, {"[beta"})
    with pytest.raises(AdministratorError) as caught:
        load_clients(tmp_path)
    assert problems == str(caught.value)


@pytest.mark.parametrize(
    ("name", "size"), [("b" * 256, 256), ("ä" * 128, 256), ("b" * 200_000, 200_000)]
)
def test_name_that_is_too_long_costs_its_section(tmp_path: Path, name: str, size: int) -> None:
    """The problem names the section by its beginning, the limit, and the way out."""
    text = _section("alpha", "a") + _section(name, "b")
    served, problems, skipped = _start(tmp_path, text)
    assert (served, skipped) == ({"alpha"}, {name})
    assert problems.endswith(
        f"clients.conf: line {text.count(chr(10), 0, text.index(name)) + 1}: [{name[:80]}] the name"
        f" has {size} bytes, more than 255: choose a shorter one"
    )


@pytest.mark.parametrize("name", ["b" * 255, "ä" * 127])
def test_longest_name(tmp_path: Path, name: str) -> None:
    """As long as a host name may be, and a little longer."""
    assert _start(tmp_path, _section(name, "b")) == ({name}, "", set())


def test_line_that_is_no_text_costs_its_section(tmp_path: Path) -> None:
    """Wherever it stands there: a value, a continuation line, the header; a comment is free."""
    alpha, omega = _section("alpha", "a").encode(), _section("omega", "e").encode()
    beta = _section("beta", "b").encode()
    odd = (
        beta.replace(b"= h", b"= \xff"), beta.replace(b"= h", b"= h\n  \xff"),
        beta.replace(b"[beta", b"[b\xeata"), beta.replace(b"host", b"h\xf6st"),
    )  # fmt: skip
    for text in odd:
        served, problems, _skipped = _start(tmp_path, alpha + text + omega)
        assert served == {"alpha", "omega"}
        assert "not UTF-8 text; save the file as UTF-8" in problems
    assert _start(tmp_path, alpha + b"# Stra\xdfe\n" + omega)[:2] == ({"alpha", "omega"}, "")


def test_defaults_in_doubt_cost_all_that_they_may_concern(tmp_path: Path) -> None:
    """A client is never served by other rules than its own: an approval may stand in [DEFAULT]."""
    (tmp_path / "clients.d").mkdir()
    drop_in = tmp_path / "clients.d/x.conf"
    drop_in.touch(mode=0o600)
    wrong = "[DEFAULT]\nrubbish\n"
    drop_in.write_text(_section("omega", "e"))
    with pytest.raises(AdministratorError, match="line 2: "):
        _start(tmp_path, wrong + _section("alpha", "a"))
    drop_in.write_text(wrong + _section("omega", "e"))
    assert _start(tmp_path, _section("alpha", "a"))[0] == {"alpha"}


def test_options_before_the_first_section_hold_for_all(tmp_path: Path) -> None:
    """They are a mistake, but can only have been meant so; an approval that stands there counts."""
    text = "approved_by_default = no\ntimeout =\n  PT9M\n" + _section("alpha", "a")
    reading = read_clients(_write(tmp_path, text).parent)
    (alpha,) = reading.clients
    assert (alpha.approved_by_default, alpha.timeout) == (False, timedelta(minutes=9))
    (problem,) = reading.problems
    assert "line 1: a [section] must come before the first option" in problem
    with pytest.raises(AdministratorError, match="line 1"):
        load_clients(tmp_path)


@pytest.mark.parametrize("secret", ["aGVsbG8h==", "aGVs bG8h===="])
def test_base64_with_too_much_padding(tmp_path: Path, secret: str) -> None:
    """All Pythons read it alike: no machine may depend on that of its server."""
    (client,) = _load(tmp_path, f"[foo]\n{KEY_LINE}secret = {secret}\n")
    assert client.secret == b"hello!"


def test_section_that_lost_its_header_costs_nobody_else(tmp_path: Path) -> None:
    """What is each client's own is no default."""
    headless = _section("beta", "b").partition("\n")[2]
    served, problems, _skipped = _start(tmp_path, headless + _section("alpha", "a"))
    assert served == {"alpha"}
    assert "a [section] must come before the first option" in problems


def test_start_without_one_client_that_is_sound(tmp_path: Path) -> None:
    """A server that would serve nobody does not start; a file without sections is no mistake."""
    with pytest.raises(AdministratorError, match="key_id is missing"):
        _start(tmp_path, "[beta]\n")
    assert _start(tmp_path, "[DEFAULT]\n") == (set(), "", set())


def test_drop_in_that_cannot_be_read_costs_its_clients(tmp_path: Path) -> None:
    """The other files are served from."""
    (tmp_path / "clients.d").mkdir()
    (tmp_path / "clients.d/x.conf").symlink_to("nowhere")
    served, problems, _skipped = _start(tmp_path, _section("alpha", "a"))
    assert served == {"alpha"}
    assert "it is a symbolic link to nothing" in problems


# Remarks


def test_misspelled_option_is_a_warning_with_the_nearest_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that others refer to, or that is like none, is not misspelled."""
    caplog.set_level(logging.INFO)
    _one(tmp_path, "tiemout = PT5M\nhosts = x\nchecker = ping %(hosts)s\ncolour = red\n")
    remarks = {record.getMessage(): record.levelname for record in caplog.records}
    found = {text.partition("unknown option ")[2]: level for text, level in remarks.items()}
    del found[""]
    assert found == {
        "tiemout is ignored; is it timeout?": "WARNING",
        "hosts is ignored": "INFO",
        "colour is ignored": "INFO",
    }


def test_host_with_a_comment_behind_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is what the file says, and hardly what was meant."""
    assert _one(tmp_path, "host = beta ; note\n").host == "beta ; note"
    (remark,) = _remarks(caplog)
    assert remark.endswith("host: the comment is part of the value: 'beta ; note'")


def test_secrets_and_hosts_that_cannot_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At start and at a reload: what no client can open, and checkers that cannot succeed."""
    _load(tmp_path, _many(12, ""))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    names = "c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more"
    assert caplog.messages[0].startswith(f"the secret of {names}: not an OpenPGP message")
    assert caplog.messages[1].startswith("host is missing, and the checker needs it")
    assert caplog.messages[1].endswith(names)
    caplog.clear()
    _load(tmp_path, f"[foo]\n{KEY_LINE}secret = 0gEB\nchecker = true\n")
    assert caplog.messages == []
