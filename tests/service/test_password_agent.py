# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password agent among systemd's own askers and agents, and the reference's programs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from harness.askers import QUESTIONS, Asker, ask, install_client, questions, start_agent
from harness.families import Family, ours, reference
from harness.host import Host, Link, why_impossible
from harness.keys import Credentials, make_credentials, seal_with_gnupg
from harness.patience import Patience
from harness.peers import client_command, start_server
from harness.process import PATIENCE, Process

pytestmark = pytest.mark.peer

OURS, THEIRS = ours(), reference()
#: Without a NUL, which separates passwords for systemd.
PASSWORD = b"correct horse battery \xff\n staple"
FETCHING = "fetching"
#: Runs a program on a terminal: prints when it is asked something, and then types a line, if any.
#: The terminal is held open, since systemd's agent closes it for a moment; it is the host's first.
PERSON = """
import os, pty, select, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
held = os.open("/dev/pts/0", os.O_RDWR | os.O_NOCTTY)
ended = os.pidfd_open(child)
said, typed = b"", False
while ended not in select.select([terminal, ended], [], [])[0]:
    said += os.read(terminal, 1024)
    if b"assword of" in said and not typed:
        typed = True
        print("asked", flush=True)
        os.write(terminal, os.fsencode(sys.argv[1]))
"""


@pytest.fixture
def host() -> Iterator[Host]:
    """A host where questions can be asked, and the password that its client prints."""
    if (reason := why_impossible()) is not None:
        pytest.skip(reason)
    if shutil.which("systemd-ask-password") is None:
        pytest.skip("systemd is not installed (tools/test-setup does it when root)")
    with Host("asking") as made:
        made.path(QUESTIONS).mkdir(parents=True)
        _set_password(made, PASSWORD)
        yield made


def _set_password(host: Host, password: bytes) -> None:
    """Change what the client prints, all at once; everybody can read it, the client's user too."""
    made = host.path("/run/password.new")
    made.write_bytes(password)
    made.chmod(0o644)
    made.rename(host.path("/run/password"))


def _own_question(host: Host) -> Asker:
    return Asker(host.path(QUESTIONS), QUESTIONS)


def _end_all(*askers: Process) -> None:
    for asker in askers:
        asker.end()


def _finish(agent: Process, password: bytes = PASSWORD) -> None:
    """End an agent, which never told the password and leaves no client."""
    assert agent.terminate() == -signal.SIGTERM
    assert password.decode(errors="backslashreplace") not in agent.log


def _assert_fetched_once(agent: Process) -> None:
    """What it brought can have come before what it said."""
    agent.wait_for(FETCHING)
    assert agent.log.count(FETCHING) == 1


@pytest.mark.parametrize("family", [OURS, THEIRS], ids=lambda family: family.name)
def test_all_open_questions_are_answered(host: Host, family: Family) -> None:
    """One run of the client for two disks that have the same password."""
    askers = [ask(host, subject) for subject in ("one", "two")]
    agent = start_agent(host, family)
    for asker in askers:
        assert asker.wait() == 0, asker.report(agent.log)
        assert asker.stdout == PASSWORD
    _assert_fetched_once(agent)
    agent.end()


def test_a_question_that_comes_when_the_password_is_known(host: Host) -> None:
    """It is answered at once; the password is not fetched for it."""
    agent = start_agent(host, OURS)
    for number in range(5):
        asker = ask(host, f"disk {number}")
        assert asker.wait() == 0
        assert asker.stdout == PASSWORD
        agent.wait_for(f"^password-agent: answered: Password of disk {number}$")
    _assert_fetched_once(agent)
    _finish(agent)


def test_nothing_is_fetched_before_something_is_asked(host: Host) -> None:
    """The password of a machine that needs none stays on its server."""
    agent = start_agent(host, OURS)
    with _own_question(host) as asker:
        asker.listen().ask(pid=10**6)  # nobody: what is seen is passed over
        asker.file.write_text("rubbish", encoding="ascii")
        agent.wait_for("left alone: 'ask.*': it does not say which process asks")
    assert FETCHING not in agent.log
    _finish(agent)


@pytest.mark.parametrize("family", [OURS, THEIRS], ids=lambda family: family.name)
def test_questions_that_nobody_waits_for_are_left_alone(host: Host, family: Family) -> None:
    """Expired, removed, renamed, or asked by a process that has ended; the good one is answered."""
    past = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 - 1
    with (
        _own_question(host) as expired,
        _own_question(host) as removed,
        _own_question(host) as renamed,
        _own_question(host) as dead,
        _own_question(host) as good,
    ):
        bad = (expired, removed, renamed, dead)
        expired.listen().ask(not_after=past)
        dead.listen().ask(pid=10**6)
        for asker in (removed, renamed, good):
            asker.listen().ask(not_after=past + 10**9)
        install_client(host, "#!/bin/sh\necho fetching >&2\ncat /run/go /run/password\n")
        os.mkfifo(host.path("/run/go"), 0o644)
        host.path("/run/go").chmod(0o644)
        agent = start_agent(host, family, "--", "/run/client")
        agent.wait_for(FETCHING)
        removed.file.unlink()
        agent.rest()  # of two such changes at once the reference would miss the second
        renamed.file.rename(renamed.file.with_name("other"))
        agent.rest()
        host.path("/run/go").write_bytes(b"")
        assert good.answer().rstrip(b"\0") == b"+" + PASSWORD
        assert [asker.unanswered() for asker in bad] == [True] * 4
        agent.end()


def test_a_question_that_expires_while_the_client_works(host: Host) -> None:
    """Its answer would come too late; the agent ends, and its client with it."""
    install_client(host, "#!/bin/sh\necho fetching >&2\nexec sleep 1000\n")
    for seconds in (1, 4, 16, 64):
        with _own_question(host) as asker:
            soon = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + seconds * 1_000_000
            asker.listen().ask(not_after=soon)
            agent = start_agent(host, OURS, "--linger=0", "--", "/run/client")
            assert agent.wait() == 0
            assert asker.unanswered()
        assert not _runs(host, "sleep")
        if FETCHING in agent.log:
            return  # otherwise it expired before the client worked
    pytest.fail("no client ran")


def _runs(host: Host, name: str) -> bool:
    """Whether a program runs; the host's first process reaps no orphans, who stay as zombies."""
    listed = host.run("ps", "-e", "-o", "comm=,stat=").decode().splitlines()
    return any(line.split()[0] == name and " Z" not in line for line in listed)


def test_a_wrong_password_is_not_sent_twice(host: Host) -> None:
    """It is fetched again until it is another, and that one is sent; another disk has its own."""
    agent = start_agent(host, OURS, "--retry=0.1", "--", "/run/client")
    install_client(host, "#!/bin/sh\necho fetching >&2\ncat /run/password\n")
    first = ask(host, "disk")
    assert first.wait() == 0
    assert first.stdout == PASSWORD
    again = ask(host, "disk")
    seen = agent.wait_for(
        "the servers sent a password that was wrong before; asking them again every 0.1 s"
    )
    seen = agent.wait_for(FETCHING, after=seen)
    other = ask(host, "other disk")
    assert other.wait() == 0
    assert other.stdout == PASSWORD
    agent.wait_for(FETCHING, after=seen)
    assert again.running
    _set_password(host, b"corrected")
    assert again.wait() == 0
    assert again.stdout == b"corrected"
    _finish(agent)


def test_a_password_that_is_wrong_is_fetched_at_a_pace(host: Host) -> None:
    """Neither the asker's tries nor the server are worn out."""
    agent = start_agent(host, OURS, "--retry=1000")
    assert ask(host, "disk").wait() == 0
    again = ask(host, "disk")
    other = ask(host, "other disk")
    assert other.wait() == 0
    assert again.running
    _assert_fetched_once(agent)
    _finish(agent)
    _end_all(again)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_agent_and_client(host: Host, number: signal.Signals) -> None:
    """The client first, and what it has started; the question is left to others."""
    asker = ask(host, "disk")
    install_client(host, "#!/bin/sh\nsleep 1000 &\necho fetching >&2\nwait\n")
    agent = start_agent(host, OURS, "--", "/run/client")
    agent.wait_for(FETCHING)
    agent.signal(number)
    assert agent.wait() == -number, agent.report("it ended otherwise")
    assert not _runs(host, "sleep")
    assert asker.running
    _end_all(asker)


def test_it_can_be_started_any_number_of_times(host: Host) -> None:
    """Whatever state the one before it was ended in."""
    asker = ask(host, "disk")
    install_client(host, "#!/bin/sh\necho fetching >&2\nexec sleep 1000\n")
    for _ in range(3):
        agent = start_agent(host, OURS, "--", "/run/client")
        agent.wait_for(FETCHING)
        _finish(agent)
    agent = start_agent(host, OURS)
    assert asker.wait() == 0
    assert asker.stdout == PASSWORD
    _finish(agent)


@pytest.mark.parametrize("family", [OURS, THEIRS], ids=lambda family: family.name)
def test_it_ends_when_all_questions_have_gone(host: Host, family: Family) -> None:
    """Ours may be told to do so at once; the reference always does."""
    with _own_question(host) as asker:
        asker.listen().ask()
        agent = start_agent(host, family, *(("--linger=0",) if family is OURS else ()))
        assert asker.answer().rstrip(b"\0") == b"+" + PASSWORD
        if family is OURS:
            assert agent.running  # the reference may have ended with its answer
        asker.file.unlink()
        assert agent.wait() == 0


def test_a_directory_that_comes_late_and_goes(host: Host) -> None:
    """The agent may be there before systemd is, and see everything made anew."""
    shutil.rmtree(host.path("/run/systemd"))
    agent = start_agent(host, OURS)
    for number in range(3):
        host.path(QUESTIONS).mkdir(parents=True)
        asker = ask(host, f"disk {number}")
        assert asker.wait() == 0, agent.report("unanswered")
        assert asker.stdout == PASSWORD
        shutil.rmtree(host.path("/run/systemd"))
    _assert_fetched_once(agent)
    _finish(agent)


def test_a_socket_that_comes_late(host: Host) -> None:
    """The answer is tried again; and told once."""
    with _own_question(host) as asker:
        asker.ask()
        agent = start_agent(host, OURS)
        agent.wait_for("cannot answer yet: question .*: No such file .*; trying for 30 s")
        asker.listen()
        assert asker.answer() == b"+" + PASSWORD
        assert agent.log.count("cannot answer") == 1
        _finish(agent)


def test_a_socket_that_is_full(host: Host) -> None:
    """The others are answered meanwhile; and it is when it takes something again."""
    with _own_question(host) as asker:
        asker.listen().ask()
        filled = _fill(asker)
        agent = start_agent(host, OURS)
        agent.wait_for("cannot answer yet: question .*: its socket is full")
        other = ask(host, "disk")
        assert other.wait() == 0
        assert other.stdout == PASSWORD
        for _ in range(filled):
            assert asker.answer() == b"x"
        assert asker.answer() == b"+" + PASSWORD
        _finish(agent)


def _fill(asker: Asker) -> int:
    count = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            while True:
                sender.sendto(b"x", socket.MSG_DONTWAIT, str(asker.address))
                count += 1
        except BlockingIOError:
            return count


def test_a_client_that_fails_is_started_again(host: Host) -> None:
    """With a pause, and a line that says why; its output does not count."""
    host.path("/run/password").unlink()
    install_client(host, "#!/bin/sh\nprintf wrong\nexec cat /run/password\n")
    asker = ask(host, "disk")
    agent = start_agent(host, OURS, "--", "/run/client")
    agent.wait_for("password: No such file or directory")
    agent.wait_for("the client failed with exit status 1; starting it again in 1 s")
    _set_password(host, PASSWORD)
    assert asker.wait() == 0
    assert asker.stdout == b"wrong" + PASSWORD
    _finish(agent)


#: A client that waits and says so, to a person and to the log.
TELLING = """#!/bin/sh
echo "mandos-client: something for the log" >&2
echo "mandos-client: notice: waiting for a server" >&2
exec sleep 600
"""


def test_a_person_at_the_console_is_told_why_nothing_happens(host: Host) -> None:
    """A notice of the client is shown on a line of its own, and the question again after it."""
    console = host.path("/run/console")
    console.touch()
    install_client(host, TELLING)
    asker = ask(host, "disk")
    agent = start_agent(host, OURS, "--console=/run/console", "--", "/run/client")
    agent.wait_for("^mandos-client: something for the log$")
    agent.wait_for("^mandos-client: notice: waiting for a server$")
    patience = Patience(PATIENCE)
    while not (text := console.read_text(encoding="utf-8")).endswith("Password of disk "):
        assert not patience.is_over(), agent.report(f"on the console: {text!r}")
        time.sleep(0.01)
    assert text == "\nmandos-client: waiting for a server\nPassword of disk "
    _end_all(asker)
    agent.end()


def test_a_client_that_cannot_be_started_is_tried_again(host: Host) -> None:
    """A prompt beside us goes on working, so there is no reason to give up."""
    asker = ask(host, "disk")
    agent = start_agent(host, OURS, "--", "/run/client")
    agent.wait_for("cannot run /run/client: No such file or directory; starting it again in 1 s")
    install_client(host, "#!/bin/sh\ncat /run/password\n")
    assert asker.wait() == 0
    assert asker.stdout == PASSWORD
    _finish(agent)


@pytest.mark.parametrize("family", [OURS, THEIRS], ids=lambda family: family.name)
def test_how_the_client_starts(host: Host, family: Family) -> None:
    """Really another user, effectively root, with its arguments and where its helpers are."""
    told = (
        "import os, sys; print(os.getresuid(), os.getresgid(), sys.argv[1:], os.getcwd(),"
        " os.environ['MANDOSPLUGINHELPERDIR'], sorted(os.listdir('/proc/self/fd'))[:3])"
    )
    with _own_question(host) as asker:
        asker.listen().ask()
        client = ("--", "/usr/bin/python3", "-I", "-c", told, "--debug", "--", "-x")
        agent = start_agent(
            host, family, "--helper-directory=/helpers", "--user=1234", "-g", "4321", *client
        )
        assert asker.answer().rstrip(b"\0").decode() == (
            "+(1234, 0, 0) (4321, 0, 0) ['--debug', '--', '-x'] / /helpers ['0', '1', '2']\n"
        )
        agent.end()


def _terminals(host: Host) -> None:
    host.path("/dev/pts").mkdir()
    host.run("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", "/dev/pts")
    host.path("/dev/ptmx").symlink_to("pts/ptmx")
    host.run("mknod", "-m", "666", "/dev/tty", "c", "5", "0")


def _person(host: Host, types: str, *options: str) -> Process:
    agent = ("systemd-tty-ask-password-agent", *options)
    return host.start("/usr/bin/python3", "-I", "-c", PERSON, types, *agent)


def test_a_person_may_be_faster(host: Host) -> None:
    """What is typed into systemd's own agent counts; ours keeps out, and answers what is next."""
    _terminals(host)
    os.mkfifo(host.path("/run/go"), 0o644)
    install_client(host, "#!/bin/sh\necho fetching >&2\ncat /run/go /run/password\n")
    agent = start_agent(host, OURS, "--", "/run/client")
    asker = ask(host, "disk")
    agent.wait_for(FETCHING)
    person = _person(host, "typed\n", "--query")
    assert asker.wait() == 0, person.report("unanswered")
    assert asker.stdout == b"typed"
    person.end()
    following = ask(host, "disk")
    host.path("/run/go").write_bytes(b"")
    assert following.wait() == 0
    assert following.stdout == PASSWORD
    agent.wait_for("answered")
    assert agent.log.count("answered") == 1
    assert questions(host) == set()
    _finish(agent)


def test_our_agent_takes_the_question_from_a_waiting_person(host: Host) -> None:
    """The prompt on the terminal goes away, as its agent sees the question go."""
    _terminals(host)
    asker = ask(host, "disk")
    person = _person(host, "", "--query")
    person.wait_for("asked")
    agent = start_agent(host, OURS)
    assert asker.wait() == 0
    assert asker.stdout == PASSWORD
    person.wait()
    _finish(agent)


PAIRS = [
    pytest.param(OURS, THEIRS, OURS, id="our_agent-their_client-our_server"),
    pytest.param(THEIRS, OURS, OURS, id="their_agent-our_client-our_server"),
    pytest.param(OURS, OURS, THEIRS, id="our_agent-our_client-their_server"),
]


@pytest.mark.parametrize(("agent", "client", "server"), PAIRS)
def test_with_real_clients_and_servers(
    link: Link,
    keys_of: Callable[[Family], Credentials],
    agent: Family,
    client: Family,
    server: Family,
) -> None:
    """The whole way of a password, from the server to what asks for it."""
    keys = keys_of(client)
    keys = keys.with_secret(seal_with_gnupg(keys, PASSWORD))
    link.client.path(QUESTIONS).mkdir(parents=True, exist_ok=True)
    with start_server(link.server, server, keys.section) as running:
        command = client_command(link.client, client, keys, running.address)
        # In an initial RAM disk the keys belong to the user that the client becomes.
        link.client.run("chown", "-R", "65534:65534", keys.install(link.client))
        asker = ask(link.client, "disk")
        answering = start_agent(link.client, agent, "--", *command)
        assert asker.wait() == 0, answering.report("unanswered")
        assert asker.stdout == PASSWORD
        answering.end()


def test_a_secret_that_is_corrected_on_the_server(link: Link, workshop: Host) -> None:
    """A wrong password was stored; once the right one is, the machine boots by itself."""
    keys = make_credentials(workshop, OURS, "corrected", b"wrong")
    right = keys.with_secret(seal_with_gnupg(keys, b"right"))
    link.client.path(QUESTIONS).mkdir(parents=True, exist_ok=True)
    with start_server(link.server, OURS, keys.section) as running:
        command = client_command(link.client, OURS, right, running.address)
        agent = start_agent(link.client, OURS, "--retry=0.1", "--", *command)
        first = ask(link.client, "disk")
        assert first.wait() == 0, agent.report("unanswered")
        assert first.stdout == b"wrong"
        again = ask(link.client, "disk")
        agent.wait_for("the servers sent a password that was wrong before")
    assert again.running
    with start_server(link.server, OURS, right.section):
        assert again.wait() == 0, agent.report("unanswered")
        assert again.stdout == b"right"
    _finish(agent, b"right")


def test_the_program_looks_at_its_installation(host: Host) -> None:
    """``--test`` says what it finds, and its exit status whether that is enough."""
    process = host.start(OURS.agent, "--test", "--", "/usr/bin/env")
    assert process.wait() == 0, process.report("not ready")
    assert f"ok: questions: {QUESTIONS} can be watched" in process.log
    client = "/lib/mandos/plugins.d/mandos-client"
    process = host.start(OURS.agent, "--test", "--", client, "--seckey=/nonexistent/seckey.txt")
    assert process.wait() == 1
    assert f"failed: client: {client}: No such file" in process.log
    assert "failed: key: cannot read the key file /nonexistent/seckey.txt" in process.log


@pytest.mark.parametrize("option", ["--help", "--usage", "--version", "-?", "-V"])
def test_help_is_printed(host: Host, option: str) -> None:
    """And nothing is done."""
    assert b"password-agent" in host.run(OURS.agent, option)
