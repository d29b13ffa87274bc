# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against servers that lie, hang or send rubbish, and with keys that do not fit."""

from __future__ import annotations

import base64
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pytest
from openpgp.composed import MessageBuilder, SignedPublicKey
from servers import BadServer, Behaviour, bad_server, endless, hangs_up, sends, silent, web_server

from mandos import passwords
from mandos.client import privileges
from mandos.client.unprivileged import decryptor, turns
from mandos.client.unprivileged.attempt import Attempt
from mandos.client.unprivileged.decryptor import Opened, Openers
from mandos.client.unprivileged.loop import FOREVER, Loop, next_deadline
from mandos.client.unprivileged.search import Target
from mandos.client.unprivileged.servers import Fetcher
from mandos.errors import MandosError
from mandos.tls import keys
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session
from mandos.wire import conversation, grammar

PASSWORD = b"\x00 a disk password \xff\n"
BIN = Path(sys.executable).parent


class Keys:
    """A client's four key files, and what a server has to send to it."""

    def __init__(self, folder: Path, password: bytes) -> None:
        self.folder = folder
        run = subprocess.run(
            [BIN / "mandos-keygen", "--dir", folder, "--type", "ed25519", "--subtype", "cv25519"],
            check=True, capture_output=True,
        )  # fmt: skip
        assert run.returncode == 0
        self.sealed = self.seal(password)

    def seal(self, password: bytes) -> bytes:
        """What mandos-keygen makes of a password."""
        done = subprocess.run(
            [BIN / "mandos-keygen", "--dir", self.folder, "--no-ssh", "--passfile", "/dev/stdin"],
            check=True, input=password, capture_output=True,
        )  # fmt: skip
        lines = done.stdout.decode().partition("secret =")[2].split()
        return base64.b64decode("".join(lines))

    def options(self, **replaced: str) -> list[str]:
        """The command line that names the files."""
        names = {
            "pubkey": "pubkey.txt",
            "seckey": "seckey.txt",
            "tls-pubkey": "tls-pubkey.pem",
            "tls-privkey": "tls-privkey.pem",
        }
        paths = {option: str(self.folder / name) for option, name in names.items()}
        paths |= {option.replace("_", "-"): path for option, path in replaced.items()}
        return [f"--{option}={path}" for option, path in paths.items()]


@pytest.fixture(scope="module")
def client_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """One client's keys."""
    return Keys(tmp_path_factory.mktemp("keys"), PASSWORD)


class Client:
    """A running mandos-client whose complaints are read line by line."""

    def __init__(self, server: BadServer | None, options: Sequence[str]) -> None:
        where = [f"--connect=[::1]:{server.port}"] if server else []
        self.process = subprocess.Popen(
            [BIN / "mandos-client", "--retry=0.05", *where, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()

    def complaint(self) -> str:
        """The next line on standard error."""
        assert self.process.stderr
        return self.process.stderr.readline().decode()

    def result(self) -> tuple[int, bytes, str]:
        """Exit status, standard output, the rest of standard error; ends it if need be."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err.decode()

    def end(self) -> tuple[int, bytes, str]:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)
        return self.result()


def _run(server: BadServer | None, options: Sequence[str]) -> tuple[int, bytes, str]:
    """Run a client to its own end."""
    with Client(server, options) as client:
        return client.result()


def _never_holds_the_password(*texts: str) -> None:
    for text in texts:
        assert "disk password" not in text


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        (hangs_up, "hung up|connection lost|TLS failed"),
        (web_server, "TLS failed"),
        (sends(b""), "the server refused"),
        (endless, "more than 65536 bytes"),
        (sends(b"this is no OpenPGP message"), "cannot decrypt the secret"),
        (sends(bytes(1000)), "cannot decrypt the secret"),
    ],
    ids=["hangs-up", "web-server", "nothing", "100-mib", "text", "zeros"],
)
def test_bad_server_is_told_and_asked_again(
    client_keys: Keys, behaviour: Behaviour, complaint: str
) -> None:
    """Whatever a server does, the client says what is wrong, prints nothing and tries again."""
    with bad_server(behaviour) as server, Client(server, client_keys.options()) as client:
        line = client.complaint()
        while server.asked < 2:
            assert client.process.poll() is None
        status, out, rest = client.end()
    assert re.search(complaint, line)
    assert f"[::1]:{server.port}" in line
    assert (status, out) == (128 + signal.SIGTERM, b"")
    _never_holds_the_password(line, rest)


def test_half_a_message_does_not_open(client_keys: Keys) -> None:
    """A secret that was cut short is refused whole: nothing of it is printed."""
    half = client_keys.sealed[: len(client_keys.sealed) // 2]
    with bad_server(sends(half)) as server, Client(server, client_keys.options()) as client:
        assert "cannot decrypt the secret" in client.complaint()
        assert client.end()[1] == b""


def test_secret_of_another_client_does_not_open(client_keys: Keys, tmp_path: Path) -> None:
    """A secret sealed for other keys is told as such."""
    other = Keys(tmp_path, PASSWORD)
    with bad_server(sends(other.sealed)) as server, Client(server, client_keys.options()) as client:
        assert "encrypted for another key" in client.complaint()
        assert client.end()[1] == b""


def test_same_complaint_is_told_once(client_keys: Keys) -> None:
    """A server that refuses for hours does not fill the console."""
    with bad_server(sends(b"")) as server, Client(server, client_keys.options()) as client:
        client.complaint()
        while server.asked < 4:
            assert client.process.poll() is None
        assert client.end()[2] == "mandos-client: ended by SIGTERM\n"


def test_debug_tells_every_complaint(client_keys: Keys) -> None:
    """With --debug each try is told."""
    options = [*client_keys.options(), "--debug"]
    with bad_server(sends(b"")) as server, Client(server, options) as client:
        while server.asked < 4:
            assert client.process.poll() is None
        assert client.end()[2].count("the server refused") >= 2


def test_password_is_printed_whole(client_keys: Keys) -> None:
    """The plaintext comes out byte for byte, with nothing added, and status 0."""
    with bad_server(sends(client_keys.sealed)) as server:
        assert _run(server, client_keys.options()) == (0, PASSWORD, "")


def test_longest_password_is_printed_whole(client_keys: Keys) -> None:
    """Every byte of it."""
    longest = os.urandom(passwords.LIMIT)
    with bad_server(sends(client_keys.seal(longest))) as server:
        assert _run(server, client_keys.options())[:2] == (0, longest)


def test_full_standard_output_is_no_success(client_keys: Keys) -> None:
    """Status 0 promises that all was written."""
    with bad_server(sends(client_keys.sealed)) as server, Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [BIN / "mandos-client", f"--connect=[::1]:{server.port}", *client_keys.options()],
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == 75
    assert b"cannot write the password: No space left" in done.stderr


class Everybody:
    """A part of the loop that names the given servers at once."""

    def __init__(self, targets: list[Target]) -> None:
        self.targets = targets

    def deadline(self, _now: float) -> float:
        """At once while something is left."""
        return 0 if self.targets else FOREVER

    def tick(self, fetcher: Fetcher) -> None:
        """Name all of them, once."""
        targets, self.targets = self.targets, []
        fetcher.learn(targets)


def _fetch(client_keys: Keys, search: Everybody, said: list[str]) -> bytes:
    credentials = Credentials()
    credentials.load_raw_key(
        (client_keys.folder / "tls-pubkey.pem").read_bytes(),
        (client_keys.folder / "tls-privkey.pem").read_bytes(),
    )
    priority = Priority(grammar.PRIORITY)
    loop = Loop()
    openers = Openers((client_keys.folder / "seckey.txt").read_bytes(), "seckey.txt")
    fetcher = Fetcher(
        loop,
        lambda sock: Session(priority, credentials, sock.fileno(), is_server=True),
        openers.open,
        (said.append, said.append),
        retry=3600,
    )
    openers.attach(loop)
    try:
        while fetcher.password is None:
            search.tick(fetcher)
            for part in (openers, fetcher):
                part.tick(time.monotonic())
            now = time.monotonic()
            if fetcher.password is None:
                loop.wait(min(search.deadline(now), next_deadline((openers, fetcher), now)) - now)
        return fetcher.password
    finally:
        fetcher.close()
        openers.close()
        loop.close()


def test_bad_servers_do_not_hold_up_a_good_one(client_keys: Keys) -> None:
    """One good server among those that hang, refuse, lie and stall is enough."""
    stalls = sends(client_keys.sealed[:100], then=lambda over: over.wait())
    said: list[str] = []
    with (
        bad_server(silent) as mute,
        bad_server(stalls) as slow,
        bad_server(sends(b"")) as refusing,
        bad_server(sends(b"rubbish")) as lying,
        bad_server(sends(client_keys.sealed)) as good,
    ):
        targets = [server.target for server in (mute, slow, refusing, lying, good)]
        assert _fetch(client_keys, Everybody(targets), said) == PASSWORD


def _seal_unsigned(client_keys: Keys, password: bytes) -> bytes:
    """What anybody makes who has the client's public key."""
    public = (client_keys.folder / "pubkey.txt").read_text()
    key, _headers = SignedPublicKey.from_armor(public)
    builder = MessageBuilder.from_bytes("", password).seipd_v1("aes256")
    message: bytes = builder.encrypt_to_key(key.public_subkeys[0]).to_vec()
    return message


def test_unsigned_password_loses_to_a_signed_one(client_keys: Keys) -> None:
    """A rogue with the public key answers first, and a good server two seconds later."""
    forged = sends(_seal_unsigned(client_keys, b"wrong"))
    said: list[str] = []
    with bad_server(forged) as rogue, bad_server(sends(client_keys.sealed)) as good:
        late = Late(2.0, [[rogue.target], [good.target]])
        assert _fetch(client_keys, late, said) == PASSWORD
        assert rogue.asked == 1
    assert any("not signed" in line for line in said)


def test_unsigned_password_is_used_when_there_is_no_other(
    client_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was sealed by hand still brings the machine up, after the time for a signed one."""
    monkeypatch.setattr("mandos.client.unprivileged.servers.UNSIGNED_AFTER", 0.5)
    said: list[str] = []
    with bad_server(sends(_seal_unsigned(client_keys, PASSWORD))) as only:
        assert _fetch(client_keys, Everybody([only.target]), said) == PASSWORD


def test_unsigned_password_is_never_used_beside_the_note(client_keys: Keys) -> None:
    """mandos-keygen's note does what --signed-only does; the console names the way out."""
    assert (client_keys.folder / "signed-secret").exists()
    unsigned = sends(_seal_unsigned(client_keys, b"wrong"))
    with bad_server(unsigned) as server, Client(server, client_keys.options()) as client:
        assert "--no-signed-only" in client.complaint()
        while server.asked < 3:
            assert client.process.poll() is None


def test_unsigned_password_is_never_used_where_only_signed_ones_are(client_keys: Keys) -> None:
    """--signed-only: the server is told of, asked again, and nothing is printed."""
    options = [*client_keys.options(), "--signed-only"]
    unsigned = sends(_seal_unsigned(client_keys, b"wrong"))
    with bad_server(unsigned) as server, Client(server, options) as client:
        assert "not signed by this client's OpenPGP key" in client.complaint()
        while server.asked < 3:
            assert client.process.poll() is None
        assert client.end()[1] == b""
    with bad_server(sends(client_keys.sealed)) as server:
        assert _run(server, options) == (0, PASSWORD, "")


def test_flood_of_lies_does_not_keep_a_good_server_out(client_keys: Keys) -> None:
    """A network full of announcements that lead nowhere still leaves room for a real one."""
    said: list[str] = []
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as closed:
        port = closed.getsockname()[1]
    lies = [Target("::1", port, index) for index in range(200)]
    with bad_server(sends(client_keys.sealed)) as good:
        assert _fetch(client_keys, InTwoParts([lies, [good.target]]), said) == PASSWORD


def test_answer_that_comes_at_once_is_not_lost(
    client_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may be so near that all is done before the loop begins."""
    step = Attempt.advance

    def to_the_end(attempt: Attempt, now: float) -> bytes | None:
        while True:
            select.select([attempt.socket], [], [], 0.01)
            sealed = step(attempt, now)
            if sealed is not None:
                return sealed

    monkeypatch.setattr(Attempt, "advance", to_the_end)
    said: list[str] = []
    with bad_server(sends(client_keys.sealed)) as good:
        assert _fetch(client_keys, Everybody([good.target]), said) == PASSWORD
        assert good.asked == 1


def test_second_address_of_a_server_waits_a_moment(client_keys: Keys) -> None:
    """A server with two addresses is asked once, when the first address works."""
    said: list[str] = []
    with bad_server(sends(client_keys.sealed)) as good, bad_server(silent) as other:
        targets = [
            Target("::1", good.port, name="Mandos"),
            Target("::1", other.port, name="Mandos"),
        ]
        assert _fetch(client_keys, Everybody(targets), said) == PASSWORD
        assert other.asked == 0


def test_second_address_helps_when_the_first_hangs(client_keys: Keys) -> None:
    """The moment is short, and does not wait for the first address to fail."""
    said: list[str] = []
    with bad_server(silent) as first, bad_server(sends(client_keys.sealed)) as second:
        targets = [
            Target("::1", first.port, name="Mandos"),
            Target("::1", second.port, name="Mandos"),
        ]
        assert _fetch(client_keys, Everybody(targets), said) == PASSWORD


class Late(Everybody):
    """Names one part of the servers after the other, with a pause in between."""

    def __init__(self, pause: float, parts: list[list[Target]]) -> None:
        super().__init__([])
        self.pause = pause
        self.parts = parts
        self.due = 0.0

    def deadline(self, _now: float) -> float:
        """When the next part is named."""
        return self.due if self.parts else FOREVER

    def tick(self, fetcher: Fetcher) -> None:
        """Name the next part if its time has come."""
        if self.parts and time.monotonic() >= self.due:
            self.due = time.monotonic() + self.pause
            fetcher.learn(self.parts.pop(0))


class InTwoParts(Everybody):
    """Names one part of the servers in each turn of the loop."""

    def __init__(self, parts: list[list[Target]]) -> None:
        super().__init__([])
        self.parts = parts

    def deadline(self, _now: float) -> float:
        """At once while something is left."""
        return 0 if self.parts else FOREVER

    def tick(self, fetcher: Fetcher) -> None:
        """Name the next part."""
        if self.parts:
            fetcher.learn(self.parts.pop(0))


class OneAfterTheOther(Everybody):
    """Names the next server each time that somebody took too long; the last after ``last()``."""

    def __init__(self, targets: list[Target], said: list[str], last: Callable[[], object]) -> None:
        super().__init__(targets)
        self.said = said
        self.last = last
        self.given = 0

    def _is_due(self) -> bool:
        late = sum("took too long" in line for line in self.said)
        return self.given <= late and self.given < len(self.targets)

    def deadline(self, _now: float) -> float:
        """At once when the next one is due."""
        return 0 if self._is_due() else FOREVER

    def tick(self, fetcher: Fetcher) -> None:
        """Name the next one, when it is due."""
        if self._is_due():
            self.given += 1
            if self.given == len(self.targets):
                self.last()
            fetcher.learn([self.targets[self.given - 1]])


def test_server_that_hangs_is_given_up(client_keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each state has a time limit; a server that passes it is dropped and told."""
    monkeypatch.setitem(conversation.CLIENT_TIMES, conversation.HANDSHAKE, 0.05)
    said: list[str] = []
    with bad_server(silent) as mute, bad_server(sends(client_keys.sealed)) as good:
        # The good one has as much time as ever: the machine may be busy.
        search = OneAfterTheOther([mute.target, good.target], said, monkeypatch.undo)
        assert _fetch(client_keys, search, said) == PASSWORD
    assert any("the peer took too long (handshake)" in line for line in said)


@pytest.fixture
def rubbish(tmp_path: Path) -> str:
    """A file that holds no key."""
    path = tmp_path / "rubbish"
    path.write_text("this is no key\n")
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("seckey", "not an OpenPGP secret key"),
        ("tls_pubkey", "not a PEM public key"),
        ("tls_privkey", "not a PEM private key"),
        ("dh_params", "bad Diffie-Hellman parameters"),
    ],
)
def test_rubbish_key_file_ends_the_client(
    client_keys: Keys, rubbish: str, option: str, complaint: str
) -> None:
    """A key file without a key is named, with what to do about it, and status 78."""
    status, out, err = _run(None, client_keys.options(**{option: rubbish}))
    assert (status, out) == (78, b"")
    assert complaint in err
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["seckey", "tls_pubkey", "tls_privkey"])
def test_missing_key_file_ends_the_client(client_keys: Keys, option: str) -> None:
    """A missing key file is named."""
    status, _out, err = _run(None, client_keys.options(**{option: "/nonexistent"}))
    assert status == 78
    assert "/nonexistent: No such file or directory" in err


def test_mismatched_tls_keys_end_the_client(client_keys: Keys, tmp_path: Path) -> None:
    """A public key of another private key would fail in every handshake: it is told at once."""
    other = tmp_path / "tls-pubkey.pem"
    other.write_bytes(keys.generate_tls_key("ed25519")[1])
    status, _out, err = _run(None, client_keys.options(tls_pubkey=str(other)))
    assert status == 78
    assert "is not the public key of" in err


def test_world_readable_secret_key_is_told(client_keys: Keys, tmp_path: Path) -> None:
    """A warning, and the client goes on."""
    exposed = tmp_path / "seckey.txt"
    exposed.write_bytes((client_keys.folder / "seckey.txt").read_bytes())
    exposed.chmod(0o644)
    with bad_server(sends(client_keys.sealed)) as server:
        status, out, err = _run(server, client_keys.options(seckey=str(exposed)))
    assert (status, out) == (0, PASSWORD)
    assert f"everyone on this machine can read the secret key {exposed}" in err


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (["--priority=NONSENSE"], 78, "bad priority string 'NONSENSE'"),
        (["--connect=nowhere"], 64, "--connect takes ADDRESS:PORT"),
        (["--nonsense"], 64, "unknown option --nonsense"),
    ],
)
def test_bad_option_ends_the_client(
    client_keys: Keys, options: list[str], status: int, complaint: str
) -> None:
    """A bad option is named, with the exit status of sysexits.h."""
    got, out, err = _run(None, [*client_keys.options(), *options])
    assert (got, out) == (status, b"")
    assert complaint in err


def test_missing_interface_is_waited_for(client_keys: Keys) -> None:
    """An interface that is not there may still come: a warning, not the end."""
    with Client(None, [*client_keys.options(), "--interface=nosuch0"]) as client:
        assert "the network interface nosuch0 does not exist" in client.complaint()
        assert client.end()[0] == 128 + signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
def test_opener_that_still_has_root_is_ended(
    client_keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A signal can end the client before its first opener has given root up: in order, too."""
    may_give_up = tmp_path / "may give root up"

    def give_up_root() -> None:
        while not may_give_up.exists():
            time.sleep(0.001)
        privileges.give_up_root()

    monkeypatch.setattr(decryptor, "give_up_root", give_up_root)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            openers = Openers((client_keys.folder / "seckey.txt").read_bytes(), "seckey.txt")
            privileges.give_up_root()
            os.write(writing, b"ending")
            openers.close()
            with pytest.raises(ChildProcessError):
                os.wait()
            os._exit(0)
        finally:
            os._exit(1)
    os.read(reading, 6)
    may_give_up.touch()
    assert os.waitpid(child, 0)[1] == 0
    for descriptor in (reading, writing):
        os.close(descriptor)


class Opening:
    """Processes that open messages, the loop that serves them, and what became of the messages."""

    def __init__(self, keys: Keys) -> None:
        self._loop = Loop()
        self.openers = Openers((keys.folder / "seckey.txt").read_bytes(), "seckey.txt")
        self.openers.attach(self._loop)
        self.results: list[Opened | MandosError] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.openers.close()
        self._loop.close()

    @property
    def pids(self) -> set[int]:
        """All processes."""
        return {one.pid for one in (*self.openers._busy, *self.openers._idle)}

    def hand_over(self, *messages: bytes) -> None:
        """Have messages opened."""
        for message in messages:
            self.openers.open(message, self.results.append)

    def wait(self, number: int) -> list[bytes]:
        """Wait for so many results; all passwords so far."""
        while len(self.results) < number:
            self._loop.wait(FOREVER)
        return [one.password for one in self.results if isinstance(one, Opened)]


def _bomb(client_keys: Keys) -> bytes:
    """A short message of much content, which its process cannot hold."""
    key, _headers = SignedPublicKey.from_armor((client_keys.folder / "pubkey.txt").read_text())
    builder = MessageBuilder.from_bytes("", bytes(64 << 20)).compression("zlib")
    message: bytes = builder.seipd_v1("aes256").encrypt_to_key(key.public_subkeys[0]).to_vec()
    return message


def test_message_that_cannot_be_opened_leaves_its_process_to_the_next(client_keys: Keys) -> None:
    """Expensive messages of strangers must not cost a process each."""
    with Opening(client_keys) as opening:
        first = opening.pids
        for number, sealed in enumerate((b"rubbish", client_keys.sealed[:-9]), 1):
            opening.hand_over(sealed)
            assert opening.wait(number) == []
        opening.hand_over(client_keys.sealed)
        assert opening.wait(3) == [PASSWORD]
        assert opening.pids == first


def test_message_that_fills_its_process_does_not_harm_the_next(
    client_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that a message leaves behind ends the process; so does any growth in this test."""
    with Opening(client_keys) as opening:
        opening.hand_over(_bomb(client_keys))
        assert opening.wait(1) == []
        opening.hand_over(client_keys.sealed)
        assert opening.wait(2) == [PASSWORD]
    monkeypatch.setattr(decryptor, "_GROWTH", -1)
    with Opening(client_keys) as opening:
        first = opening.pids
        opening.hand_over(b"rubbish")
        opening.wait(1)
        assert opening.pids == set()
        opening.hand_over(client_keys.sealed)
        assert opening.wait(2) == [PASSWORD]
        assert not opening.pids & first


def test_process_that_is_killed_costs_its_message_only(client_keys: Keys) -> None:
    """The next message is opened by another one."""
    with Opening(client_keys) as opening:
        (pid,) = opening.pids
        os.kill(pid, signal.SIGKILL)
        opening.hand_over(client_keys.sealed)
        assert opening.wait(1) == []
        opening.hand_over(client_keys.sealed)
        assert opening.wait(2) == [PASSWORD]


def test_messages_of_all_connections_wait_for_their_turn(client_keys: Keys) -> None:
    """None is given up for others, however many strangers send one first."""
    with Opening(client_keys) as opening:
        opening.hand_over(*[b"rubbish"] * (turns.AT_ONCE - 1), client_keys.sealed)
        assert opening.wait(turns.AT_ONCE) == [PASSWORD]
