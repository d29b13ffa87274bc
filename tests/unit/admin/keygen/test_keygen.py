# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-keygen as an administrator meets it: keys, sections, and everything that is wrong."""

from __future__ import annotations

import base64
import configparser
import contextlib
import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mandos import passwords
from mandos.admin.keygen import host
from mandos.admin.keygen import main as keygen
from mandos.admin.keygen import making as keygen_making
from mandos.admin.keygen import password as keygen_password
from mandos.admin.keygen.files import KeyDirectory
from mandos.admin.keygen.main import main
from mandos.errors import MachineError
from mandos.openpgp.kinds import primary_kind, subkey_kind
from mandos.openpgp.opening import open_secret, read_secret_key
from mandos.openpgp.sealing import fingerprint
from mandos.tls.keys import key_id_of_private_pem

FILES = ["pubkey.txt", "seckey.txt", "tls-privkey.pem", "tls-pubkey.pem"]

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key directory, to be copied by tests that change it."""
    path = tmp_path_factory.mktemp("keygen") / "keys"
    assert main(["--dir", str(path), "--name", "client.example"]) == 0
    return path


@pytest.fixture
def keys(template: Path, tmp_path: Path) -> Path:
    """A key directory of the test's own."""
    shutil.copytree(template, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def passfile(tmp_path: Path) -> Path:
    """A file with a password."""
    path = tmp_path / "password"
    path.write_bytes(b" a b\xc3\x28\xff ")
    return path


@pytest.fixture(autouse=True)
def _no_ssh_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this machine has an SSH server, or which names it knows, must not matter."""
    monkeypatch.setattr(keygen, "checker_for_this_host", lambda: None)
    monkeypatch.setattr(keygen, "host_remark", lambda _name: None)


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def _opened(section: str, directory: Path) -> bytes:
    secret = section.partition("secret =\n")[2]
    return open_secret(base64.b64decode(secret), (directory / "seckey.txt").read_bytes())


def _fails(arguments: list[str], output: Output, complaint: str, status: int = 78) -> str:
    """Run mandos-keygen, which prints nothing but a complaint; returns what it says."""
    output.readouterr()
    assert main(arguments) == status
    out, err = output.readouterr()
    assert out == ""
    assert re.search(complaint, err), err
    assert all(line.startswith("mandos-keygen: ") for line in err.splitlines())
    return err


def test_makes_four_private_files(template: Path) -> None:
    """Files have mode 0600 in a directory of mode 0700, and nothing else is left there."""
    assert sorted(_contents(template)) == FILES
    assert template.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in template.iterdir()} == {0o600}


def test_parents_are_made(tmp_path: Path) -> None:
    """A directory that does not exist is made with its parents."""
    assert main(["-d", str(tmp_path / "a/b"), "-n", "x"]) == 0
    assert sorted(_contents(tmp_path / "a/b")) == FILES


def test_the_defaults_of_the_other_options_are_the_references() -> None:
    """A TLS key of ed25519, no expiry, /etc/keys/mandos."""
    options = keygen.parser().parse_args([])
    assert (options.tls_keytype, options.expire) == ("ed25519", "0")
    assert str(options.dir) == "/etc/keys/mandos"


@pytest.mark.parametrize(
    ("options", "algorithms"),
    [
        ("", ["eddsa-legacy", "ecdh"]),
        ("--type RSA --length 2048 --sublength 2048", ["rsa", "rsa"]),
        ("--length 2048 --sublength 2048", ["rsa", "rsa"]),
        ("--sublength 2048", ["eddsa-legacy", "rsa"]),
        ("--length 2048 --subtype cv25519", ["rsa", "ecdh"]),
        ("--type nistp256", ["ecdsa", "ecdh"]),
    ],
)
def test_the_kinds_of_openpgp_keys(tmp_path: Path, options: str, algorithms: list[str]) -> None:
    """Curve 25519 by default; a length alone means RSA, which was the default once."""
    assert main(["-d", str(tmp_path / "k"), "-n", "x", *options.split()]) == 0
    key = read_secret_key((tmp_path / "k/seckey.txt").read_bytes())
    made = [key.public_key_algorithm, *(sub.key.public_key_algorithm for sub in key.secret_subkeys)]
    assert made == algorithms


def test_the_default_lengths_are_the_references() -> None:
    """4096 bits where RSA is asked for by its name alone."""
    options = keygen.parser().parse_args(["--type", "RSA"])
    assert [kind.length for kind in keygen._kinds(options)] == [4096, 4096]


def test_every_short_option_has_its_letter() -> None:
    """The letters of the manual page mandos-keygen(8)."""
    help_text = keygen.parser().format_help()
    letters = "h help v version d dir n name t type l length s subtype L sublength e email "
    letters += "c comment x expire T tls-keytype f force p password F passfile S no-ssh"
    words = letters.split()
    for letter, name in zip(words[::2], words[1::2], strict=True):
        assert re.search(rf"-{letter}\b[^,\n]*, --{name}\b", help_text), name


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(option: str, capsys: Output) -> None:
    """Both are printed on standard output, with exit status 0."""
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 0
    assert "mandos-keygen" in capsys.readouterr().out


def test_existing_keys_are_no_failure(keys: Path, capsys: Output) -> None:
    """As after the package has made them: they are looked at, and the next step is named."""
    before = _contents(keys)
    assert main(["-d", str(keys), "-n", "x"]) == 0
    err = capsys.readouterr().err
    assert f"keys exist already and are good: {', '.join(FILES)} in {keys}" in err
    assert f"next: mandos-keygen --password --dir {keys} prints" in err
    assert _contents(keys) == before


@pytest.mark.parametrize("option", ["--type=RSA", "--email=a@b.example", "--tls-keytype=ed448"])
def test_existing_keys_stay(keys: Path, option: str, capsys: Output) -> None:
    """Who wants keys of another kind is told that they exist; without --force none is replaced."""
    before = _contents(keys)
    err = _fails(["-d", str(keys), "-n", "x", option], capsys, "exist already")
    assert f"{option.partition('=')[0]} would need new ones" in err
    assert "hint: --force replaces them" in err
    assert _contents(keys) == before


def test_existing_keys_that_are_no_good_are_told(keys: Path, capsys: Output) -> None:
    """What does not belong together is no reason to go on."""
    (keys / "pubkey.txt").write_text("rubbish")
    _fails(["-d", str(keys), "-n", "x"], capsys, "pubkey.txt: not an armored OpenPGP public key")


def test_the_steps_after_new_keys(
    keys: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After --force: the section, the server, the images, as commands that there are."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dracut").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert main(["-d", str(keys), "-n", "x", "--force"]) == 0
    seal = f"mandos-keygen --password --dir {keys}"
    said = [line.removeprefix("mandos-keygen: ") for line in capsys.readouterr().err.splitlines()]
    assert said[1:] == [
        "the keys were replaced: after three steps this machine boots by itself again",
        f"1. {seal} prints a new section, with another key_id and secret",
        "2. on each server put it in the old one's place, then run: systemctl reload mandos",
        "3. make the initial RAM disks anew: dracut --force --regenerate-all",
    ]


def test_the_steps_after_first_keys(tmp_path: Path, capsys: Output) -> None:
    """The password is next, then the images."""
    assert main(["-d", str(tmp_path / "k"), "-n", "x", "--force"]) == 0
    err = capsys.readouterr().err
    assert "the keys were replaced" not in err
    assert f"next: mandos-keygen --password --dir {tmp_path / 'k'} prints" in err


def test_a_second_run_says_that_another_is_at_work(tmp_path: Path, capsys: Output) -> None:
    """It changes nothing, and does not wait."""
    with KeyDirectory(tmp_path / "k").locked():
        _fails(
            ["-d", str(tmp_path / "k"), "-n", "x", "-f"], capsys, "another mandos-keygen is making"
        )
    assert not (tmp_path / "k").exists()
    assert main(["-d", str(tmp_path / "k"), "-n", "x"]) == 0


@pytest.mark.parametrize("moment", [-1.0, float(1 << 32), 1e12])
def test_dates_that_openpgp_does_not_have(
    tmp_path: Path,
    passfile: Path,
    keys: Path,
    moment: float,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In 2106 and later nothing can be made or sealed, and the clock is named."""
    monkeypatch.setattr("mandos.openpgp.sealing.time.time", lambda: moment)
    _fails(["-d", str(tmp_path / "k"), "-n", "x"], capsys, "the clock says .*from 1970 to 2106", 69)
    assert not (tmp_path / "k").exists()
    _fails(["-d", str(keys), "-n", "x", "-F", str(passfile)], capsys, "the clock says", 69)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("force", [False, True])
def test_an_interrupt_leaves_nothing_half_made(
    keys: Path, tmp_path: Path, number: signal.Signals, *, force: bool
) -> None:
    """While RSA keys are made it ends at once, its child too, and everything is as before."""
    directory = keys if force else tmp_path / "a/b"
    before = _contents(keys)
    program = Path(sys.executable).with_name("mandos-keygen")
    command = [str(program), "-d", str(directory), "-n", "x", "--force", "--type", "RSA"]
    command = ["env", "--default-signal=HUP,INT", *command]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as making:
        assert making.stderr is not None
        said = making.stderr.readline()
        assert said.startswith(b"mandos-keygen: making RSA keys of 4096 and 4096 bits")
        children = Path(f"/proc/{making.pid}/task/{making.pid}/children")
        while not (child := children.read_text().strip()):
            assert making.poll() is None, "it was too fast to be interrupted"
        os.kill(int(child), signal.SIGSTOP)  # it makes no keys: waiting for them would not end
        making.send_signal(number)
        try:
            assert making.wait(timeout=60) == 128 + number
        finally:
            with contextlib.suppress(ProcessLookupError):  # all have ended
                os.killpg(making.pid, signal.SIGKILL)
        assert making.stderr.read() == b""
    assert not Path(f"/proc/{child}").exists()
    assert _contents(keys) == before
    assert directory.exists() == force
    assert not (tmp_path / "a").exists()


def test_a_signal_waits_while_files_are_put_in_place(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four are new, or none."""
    before, really = _contents(keys), os.replace

    def interrupted(source: Path, target: Path) -> None:
        signal.raise_signal(signal.SIGTERM)  # to this thread: a test's process may have others
        really(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert main(["-d", str(keys), "-n", "x", "-f"]) == 128 + signal.SIGTERM
    after = _contents(keys)
    assert sorted(after) == FILES
    assert all(after[name] != before[name] for name in FILES)


PROGRESS = b"mandos-keygen: making RSA keys of 4096 bits, which can take half a minute"


def _make_progress() -> None:
    with keygen_making._Progress(primary_kind("rsa", 4096), subkey_kind("cv25519", 0)) as progress:
        progress.tick()
        progress.tick()


def test_a_terminal_sees_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dot for each second."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        _make_progress()
        said = b""
        while not said.endswith(b"\n"):
            said += os.read(ours, 1000)
    assert said == PROGRESS + b" ..\r\n"
    os.close(ours)


def test_a_log_sees_one_line(capsys: Output) -> None:
    """Where no terminal is, dots would be in the way."""
    _make_progress()
    assert capsys.readouterr().err.encode() == PROGRESS + b"\n"


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ([], "warning: the name alpha does not resolve here"),
        (["127.0.1.1"], "note: here, alpha is this machine itself (127.0.1.1)"),
        (["::1", "127.0.0.1"], "note: here, alpha is this machine itself (::1)"),
        (["127.0.1.1", "192.0.2.1"], None),
        (["fe80::1%eth0"], None),
    ],
)
def test_the_host_is_looked_up(
    addresses: list[str], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server checks it: a name that it cannot know is worth a word."""
    monkeypatch.setattr(host, "_addresses", lambda _name: addresses)
    remark = host.remark("alpha")
    assert remark is None if said is None else (remark or "").startswith(said)


def test_the_host_is_really_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system's resolver, in another process; whatever it raises is no answer."""
    assert host._addresses("127.0.0.1") == ["127.0.0.1"]
    assert host.remark("::1") == (
        "note: here, ::1 is this machine itself (::1). If the server does not know the name, "
        "after host = write a name or an address that the server can reach"
    )
    assert host._addresses("not a name") == []
    monkeypatch.setattr(host, "_TIME", 0.1)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: time.sleep(1000))
    assert host._addresses("slow.example") == []


def test_force_replaces_all(keys: Path) -> None:
    """With --force all four files are new, and nothing else is left."""
    before = _contents(keys)
    assert main(["-d", str(keys), "-n", "x", "-f"]) == 0
    after = _contents(keys)
    assert sorted(after) == FILES
    assert all(after[name] != before[name] for name in FILES)


def test_a_missing_pair_is_added(keys: Path) -> None:
    """A client from before TLS keys gets them, and keeps its OpenPGP keys."""
    before = _contents(keys)
    (keys / "tls-pubkey.pem").unlink()
    (keys / "tls-privkey.pem").unlink()
    assert main(["-d", str(keys), "-n", "x"]) == 0
    after = _contents(keys)
    assert sorted(after) == FILES
    assert after["seckey.txt"] == before["seckey.txt"]


@pytest.mark.parametrize("name", FILES)
def test_half_a_pair_is_not_touched(keys: Path, name: str, capsys: Output) -> None:
    """Half a pair is the remains of something: a person decides."""
    (keys / name).unlink()
    before = _contents(keys)
    _fails(["-d", str(keys), "-n", "x"], capsys, "half of the pair")
    assert _contents(keys) == before


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("failing", range(4))
def test_all_or_nothing(
    keys: Path, force: list[str], failing: int, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one file cannot be put in place, everything is as before."""
    if not force:
        for name in FILES:
            (keys / name).unlink()
    before = _contents(keys)
    function = "replace" if force else "link"
    really, calls = getattr(os, function), []

    def fail_once(source: Path, target: Path, **how: bool) -> None:
        if target.parent == keys:
            calls.append(target)
            if len(calls) == failing + 1:
                raise OSError(28, "No space left on device", str(target))
        really(source, target, **how)

    monkeypatch.setattr(os, function, fail_once)
    _fails(["-d", str(keys), "-n", "x", *force], capsys, "cannot write .*No space left")
    assert _contents(keys) == before


@pytest.mark.parametrize("tls_type", ["ed448", "secp256r1", "ecdsa"])
def test_tls_key_types(tmp_path: Path, tls_type: str) -> None:
    """--tls-keytype chooses what GnuTLS makes."""
    assert main(["-d", str(tmp_path / "k"), "-n", "x", "-T", tls_type]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--type", "magic"], "no OpenPGP key of type 'magic'"),
        (["--subtype", "DSA"], "no OpenPGP key of type 'DSA'"),
        (["--length", "many"], "a number of bits"),
        (["--subtype", "RSA", "--sublength", "512"], "cannot have 512 bits"),
        (["--expire", "soon"], "does not say when"),
        (["--tls-keytype", "magic"], "unknown TLS key type"),
        (["--email", "a\nb"], "user ID"),
        (["--comment", "<>"], "user ID"),
        (["--name", "\x1b[31m"], "user ID"),
        (["--dir"], "expected one argument"),
        (["--unknown"], "unrecognized"),
        (["extra"], "unrecognized"),
    ],
)
def test_bad_options(tmp_path: Path, arguments: list[str], complaint: str, capsys: Output) -> None:
    """Each is refused before any key is made, with the status of a usage error."""
    _fails(["-d", str(tmp_path / "k"), *arguments], capsys, complaint, 64)
    assert not (tmp_path / "k").exists()


def test_a_directory_that_is_a_file(passfile: Path, capsys: Output) -> None:
    """The path and the reason are named."""
    _fails(["-d", str(passfile), "-n", "x"], capsys, f"cannot write {passfile}")
    _fails(["-d", str(passfile), "-n", "x", "-F", str(passfile)], capsys, "Not a directory")


def test_the_section(keys: Path, passfile: Path, capsys: Output) -> None:
    """Name, host, both identities, and the secret that opens to the exact bytes of the file."""
    capsys.readouterr()
    assert main(["-d", str(keys), "-n", "client.example", "-F", str(passfile)]) == 0
    section, err = capsys.readouterr()
    assert err == ""
    lines = section.splitlines()
    assert lines[:5] == [
        "[client.example]",
        "host = client.example",
        f"key_id = {key_id_of_private_pem((keys / 'tls-privkey.pem').read_bytes())}",
        f"fingerprint = {fingerprint((keys / 'pubkey.txt').read_bytes())}",
        "secret =",
    ]
    assert all(re.fullmatch(r"    [A-Za-z0-9+/=]{1,64}", line) for line in lines[5:])
    assert _opened(section, keys) == passfile.read_bytes()
    configparser.ConfigParser().read_string(section)


def test_percent_signs_mean_themselves(keys: Path, passfile: Path, capsys: Output) -> None:
    """The server expands %(...)s in a section; a host's name has none."""
    capsys.readouterr()
    assert main(["-d", str(keys), "-n", "100%", "-F", str(passfile)]) == 0
    assert "\nhost = 100%%\n" in capsys.readouterr().out


def test_the_checker_is_part_of_the_section(
    keys: Path, passfile: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It appears when an SSH server answered, and not with --no-ssh."""
    monkeypatch.setattr(keygen, "checker_for_this_host", lambda: "look %%(host)s")
    command = ["-d", str(keys), "-n", "x", "-F", str(passfile)]
    assert main(command) == 0
    assert "\nchecker = look %%(host)s\n" in capsys.readouterr().out
    assert main([*command, "--no-ssh"]) == 0
    assert "checker" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", " a", "a]", "a\nb", "DEFAULT"])
def test_names_that_head_no_section(keys: Path, passfile: Path, name: str, capsys: Output) -> None:
    """A name that would break clients.conf, or set everybody's defaults, is refused."""
    _fails(["-d", str(keys), "-n", name, "-F", str(passfile)], capsys, "name|DEFAULT", 64)


def test_a_line_break_in_a_password_file_is_noted(
    keys: Path, passfile: Path, capsys: Output
) -> None:
    """It is sealed as it is, and said, since few disks have it in their passphrase."""
    passfile.write_bytes(b"password\n")
    capsys.readouterr()
    assert main(["-d", str(keys), "-n", "x", "-F", str(passfile)]) == 0
    section, err = capsys.readouterr()
    assert _opened(section, keys) == b"password\n"
    assert "ends with a line break" in err


def _pipe(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"a b", b"a b"),
        (b"a b\na b\n", b"a b"),
        (b" a b \t\n", b" a b \t"),
        (b"\xc2\xa0a\xc2\xa0\n", b"\xc2\xa0a\xc2\xa0"),
        (b"\xa0\xff\n", b"\xa0\xff"),
        (b" \n", b" "),
    ],
)
def test_a_piped_password(
    keys: Path, data: bytes, password: bytes, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, or the same twice; only the end of the line is not part of it."""
    _pipe(data, monkeypatch)
    capsys.readouterr()
    assert main(["-d", str(keys), "-n", "x", "-p"]) == 0
    assert _opened(capsys.readouterr().out, keys) == password


@pytest.mark.parametrize("size", [passwords.LIMIT, passwords.LIMIT + 1, 3 * passwords.LIMIT])
@pytest.mark.parametrize("way", ["line", "line twice", "input", "file"])
def test_the_longest_password(
    keys: Path, passfile: Path, size: int, way: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2048 bytes are sealed exactly; one more is refused, with another way for long keys."""
    password = os.urandom(size).translate(bytes(33 + number % 93 for number in range(256)))
    passfile.write_bytes(password)
    _pipe(password + (b"\n" + password + b"\n" if way == "line twice" else b""), monkeypatch)
    options = {"input": ["-F", "-"], "file": ["-F", str(passfile)]}.get(way, ["-p"])
    command = ["-d", str(keys), "-n", "x", *options]
    if size > passwords.LIMIT:
        assert "luksAddKey" in _fails(
            command, capsys, "more than the 2048 bytes that systemd takes"
        )
        return
    capsys.readouterr()
    assert main(command) == 0
    section, err = capsys.readouterr()
    assert _opened(section, keys) == password
    assert err == ""


@pytest.mark.parametrize(
    ("password", "said"),
    [
        (b"a\0b", ["has a NUL byte", "control characters"]),
        (b"a\nb", ["control characters"]),
        (b"a\n", ["ends with a line break", "control characters"]),
        (b"\x7f", ["control characters"]),
        (" pä€ ".encode(), []),
        (b"\xff\x80", []),
    ],
)
def test_passwords_that_not_everybody_can_take(password: bytes, said: list[str]) -> None:
    """What only some images hand on, or no keyboard has, is sealed with a remark."""
    found = keygen_password.remarks(password)
    assert len(found) == len(said)
    assert all(word in remark for word, remark in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\n\n", "is empty"),
        (b"a\nb\n", "lines that differ"),
        (b"a\na \n", "lines that differ"),
        (b"a\na\na\n\n", "lines that differ"),
    ],
)
def test_a_bad_piped_password(
    keys: Path, data: bytes, complaint: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sealed that no disk would accept."""
    _pipe(data, monkeypatch)
    _fails(["-d", str(keys), "-n", "x", "--password"], capsys, complaint)


def test_a_password_file_on_standard_input(
    keys: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--passfile -`` strips nothing."""
    _pipe(b" a\nb ", monkeypatch)
    capsys.readouterr()
    assert main(["-d", str(keys), "-n", "x", "-F", "-"]) == 0
    assert _opened(capsys.readouterr().out, keys) == b" a\nb "


def test_bad_password_files(keys: Path, tmp_path: Path, capsys: Output) -> None:
    """Missing, empty, too large."""
    command = ["-d", str(keys), "-n", "x", "-F"]
    _fails([*command, str(tmp_path / "none")], capsys, "cannot read .*none: No such file")
    _fails([*command, os.devnull], capsys, "is empty")
    _fails([*command, "/dev/zero"], capsys, "/dev/zero: the password has more than the 2048 bytes")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file"), (b"", "is empty"), (b"rubbish\xff", r": not a")],
)
def test_broken_key_files(
    keys: Path, passfile: Path, name: str, content: bytes | None, complaint: str, capsys: Output
) -> None:
    """Every file is checked before anything is sealed, and the broken one is named."""
    (keys / name).unlink()
    if content is not None:
        (keys / name).write_bytes(content)
    err = _fails(["-d", str(keys), "-n", "x", "-F", str(passfile)], capsys, complaint)
    assert str(keys / name) in err


@pytest.mark.parametrize("name", ["pubkey.txt", "tls-pubkey.pem"])
def test_halves_that_do_not_match(
    keys: Path, tmp_path: Path, passfile: Path, name: str, capsys: Output
) -> None:
    """Half a pair from another machine would fail at the next boot: it fails now."""
    other = tmp_path / "other"
    assert main(["-d", str(other), "-n", "x"]) == 0
    shutil.copy(other / name, keys / name)
    _fails(["-d", str(keys), "-n", "x", "-F", str(passfile)], capsys, "is not the public key of")


def test_secret_keys_that_everybody_reads(keys: Path, passfile: Path, capsys: Output) -> None:
    """A warning, and the section all the same."""
    (keys / "seckey.txt").chmod(0o644)
    capsys.readouterr()
    assert main(["-d", str(keys), "-n", "x", "-F", str(passfile)]) == 0
    assert "warning: everyone on this machine can read" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(
    keys: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the prompt ends the program quietly."""

    def interrupt() -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(keygen_password, "ask", interrupt)
    _fails(["-d", str(keys), "-n", "x", "-p"], capsys, "", 130)


def test_a_failure_of_the_machine_has_its_status(
    keys: Path, passfile: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that cannot be loaded is not the administrator's fault."""

    def missing() -> None:
        raise MachineError("the OpenPGP library cannot be loaded", "install it")

    monkeypatch.setattr("mandos.openpgp.opening.load", missing)
    _fails(["-d", str(keys), "-n", "x", "-F", str(passfile)], capsys, "hint: install it", 69)


LONGEST = b"x" * passwords.LIMIT


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (b" a b \t", b" a b \t", 0),
        (b"\xc2\xa0a\xff\xc2\xa0", b"\xc2\xa0a\xff\xc2\xa0", 0),
        (b" a b ", b"a b", 78),
        (LONGEST, LONGEST, 0),
        (LONGEST + b"x", LONGEST + b"x", 78),
        (b"y" * 5000, b"y" * 5000, 78),  # of which a terminal keeps 4095
        (b"y" * 5000, b"y" * 4999 + b"z", 78),
    ],
    ids=["blanks", "any bytes", "differ", "longest", "too long", "cut", "cut alike"],
)
def test_the_terminal_asks_twice(keys: Path, first: bytes, second: bytes, status: int) -> None:
    """Typed passwords are not echoed, keep every byte, and must agree; none is cut in silence."""
    ours, theirs = pty.openpty()
    program = Path(sys.executable).with_name("mandos-keygen")
    command = [str(program), "-d", str(keys), "-n", "x", "-p", "-S"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
    ) as running:
        os.close(theirs)
        seen = b""
        for answer in (first + b"\n", second + b"\n"):
            while not seen.endswith(b"password: "):
                assert select.select([ours], [], [], 30)[0], seen
                seen += os.read(ours, 1000)
            os.write(ours, answer)
            seen += b"\n"
        section, _none = running.communicate(timeout=30)
    os.close(ours)
    assert running.returncode == status
    assert first not in seen
    assert (_opened(section.decode(), keys) if section else b"") == (b"" if status else first)


@pytest.mark.parametrize(("name", "bad"), [("ä" * 128, True), ("ä" * 127, False)])
def test_name_is_no_longer_than_a_server_takes(
    keys: Path, passfile: Path, capsys: Output, name: str, *, bad: bool
) -> None:
    """It is refused before anything is made of it."""
    capsys.readouterr()
    command = ["--dir", str(keys), "--name", name, "--passfile", str(passfile)]
    assert main(command) == (64 if bad else 0)
    output = capsys.readouterr()
    assert ("a client's name has at most 255 bytes" in output.err) is bad
    assert (f"[{name}]" in output.out) is not bad
