# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program plugin-runner with real plugins of both families, on terminals, pipes and files."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from harness.boot import PLACE, install_boot_programs, reference_plugin, reference_runner
from harness.console import Terminal
from harness.families import ours, reference
from harness.host import Host
from harness.patience import Patience
from harness.peers import start_server
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.boot import BootPrograms
    from harness.families import Family
    from harness.host import Link
    from harness.keys import Credentials

    Keys = Callable[[Family], Credentials]

pytestmark = pytest.mark.peer

#: A plugin that runs until it is told to end, and says so.
WAITING = """#!/bin/sh
trap 'echo told to end >&2; kill $sleeping; exit 1' TERM
sleep 1000 & sleeping=$!
echo waiting >&2
wait
"""
#: A plugin that succeeds as soon as the test makes a file.
WINNING = """#!/bin/sh
until [ -e /run/win ]; do sleep 0.05; done
printf 'pass\\0word\\n\\n'
"""
IDENTITY = """#!/usr/bin/python3 -IS
import os
print(*os.getresuid(), *os.getresgid(), os.getgroups())
"""
#: Where the reference has its FIFO; a host sees the machine's own file system, so it is covered.
FIFO_FOLDER = "/lib/cryptsetup"


@pytest.fixture(scope="module")
def programs(_possible: None) -> Iterator[BootPrograms]:
    """A host with our early-boot programs, where no plymouthd runs."""
    with Host("runner") as host:
        host.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", FIFO_FOLDER)
        yield install_boot_programs(host)


def _command(programs: BootPrograms, folder: str, *options: str) -> list[str]:
    plugins = ("--plugin-dir", programs.folder(folder), "--config-file", "/dev/null")
    return [programs.runner, *plugins, *options]


def test_first_success_is_printed_and_the_others_are_ended(programs: BootPrograms) -> None:
    """The winner's output is printed exactly; the loser is told, heard and gone."""
    programs.script("race.d", "a-waits", WAITING)
    programs.script("race.d", "b-wins", WINNING)
    programs.script("race.d", "c-fails", "#!/bin/sh\necho no >&2; printf lost; exit 3\n")
    with programs.host.start(*_command(programs, "race.d")) as runner:
        runner.wait_for("^a-waits: waiting$")
        runner.wait_for("^c-fails: no$")
        programs.host.path("/run/win").touch()
        assert runner.wait() == 0, runner.report("no password")
        assert runner.stdout == b"pass\0word\n\n"
        assert "a-waits: told to end" in runner.lines
        assert "lost" not in runner.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_all_plugins(programs: BootPrograms, number: signal.Signals) -> None:
    """Ended by a signal: plugins are told and waited for, nothing is printed."""
    programs.script("wait.d", "waits", WAITING)
    with programs.host.start(*_command(programs, "wait.d")) as runner:
        runner.wait_for("waits: waiting")
        runner.signal(number)
        assert runner.wait() == 128 + number
        assert "waits: told to end" in runner.log
        assert runner.stdout == b""


def test_plugins_run_as_nobody(programs: BootPrograms) -> None:
    """User and group 65534 and no other groups, or those of --userid and --groupid."""
    programs.script("id.d", "identity", IDENTITY)
    in_groups = ("setpriv", "--groups=4,24")
    printed = programs.host.run(*in_groups, *_command(programs, "id.d"))
    assert printed == b"65534 65534 65534 65534 65534 65534 []\n"
    printed = programs.host.run(*_command(programs, "id.d", "--userid=12", "--groupid", "34"))
    assert printed == b"12 12 12 34 34 34 []\n"


def test_a_set_user_id_script_has_its_owners_rights(programs: BootPrograms) -> None:
    """As a binary would have: the real user stays unprivileged, the effective one is root."""
    programs.script("set-id.d", "identity", IDENTITY, 0o4755)
    assert programs.host.run(*_command(programs, "set-id.d")) == (
        b"65534 0 0 65534 65534 65534 []\n"
    )
    programs.script("set-id.d", "identity", IDENTITY, 0o6755)
    assert programs.host.run(*_command(programs, "set-id.d")) == b"65534 0 0 65534 0 0 []\n"


def test_a_set_user_id_binary_is_the_kernels_matter(programs: BootPrograms) -> None:
    """Real programs with the bit work as before."""
    programs.copy("binary.d", "/usr/bin/id")
    programs.host.path(programs.folder("binary.d") + "/id").chmod(0o4755)
    printed = programs.host.run(*_command(programs, "binary.d"))
    assert b"uid=65534(nobody) gid=65534(nogroup) euid=0(root)" in printed


def test_a_set_user_id_script_that_others_can_replace_is_refused(programs: BootPrograms) -> None:
    """Where any user could put another script in its place, the bit would be everybody's."""
    programs.script("open.d", "identity", IDENTITY, 0o4755)
    programs.host.path(programs.folder("open.d")).chmod(0o777)
    with programs.host.start(*_command(programs, "open.d")) as runner:
        assert runner.wait() == 69
        runner.wait_for("^plugin-runner: identity: its set-user-ID .* is refused, because")


def test_options_and_environment_reach_the_plugin(programs: BootPrograms) -> None:
    """Own options before global ones; the more particular variable counts; others are inherited."""
    shows = '#!/bin/sh\nprintf "<%s>" "$@" "$A" "$B" "$C" "$MANDOSPLUGINHELPERDIR"\n'
    programs.script("options.d", "show", shows)
    options = (
        *("-g", "--all,1", "-o", "show:--own,,x y", "--options-for=other:--no"),
        *("-G", "A=global", "-G", "B=global", "-E", "show:A=own=", "-E", "other:B=no"),
        *("--plugin-helper-dir", "/helpers"),
    )
    command = _command(programs, "options.d", *options)
    printed = programs.host.run(*command, environment={"A": "no", "B": "no", "C": "inherited"})
    assert printed == b"<--own><><x y><--all><1><own=><global><inherited></helpers>"


def test_the_configuration_file_is_read_first(programs: BootPrograms) -> None:
    """The command line overrides it; a mistake in it is told, and does not stop the boot."""
    programs.script("config.d", "show", '#!/bin/sh\nprintf "<%s>" "$@" "$A"\n')
    programs.script("config.d", "off", "#!/bin/sh\necho never >&2\n")
    config = programs.host.path("/run/runner.conf")
    config.write_text(
        "# a comment\n--disable off -d show # -o show:--no\n\t-G A=file -o\tshow:--file\n"
        "--nonsense word --userid=x --env-for=show\n",
        encoding="ascii",
    )
    command = (programs.runner, "--plugin-dir", programs.folder("config.d"))
    with programs.host.start(
        *command, "--config-file=/run/runner.conf", "--enable=show", "-G", "A=line"
    ) as runner:
        assert runner.wait() == 0, runner.report("no password")
        assert runner.stdout == b"<--file><line>"
        for mistake in ("--nonsense", "'word'", "--env-for"):
            runner.wait_for(f"^plugin-runner: /run/runner.conf: .*{mistake}.*; ignored$")
        runner.wait_for("^plugin-runner: --userid takes a number, not 'x'; using 65534$")
        assert "never" not in runner.log


def test_the_console_is_the_last_way_out(programs: BootPrograms) -> None:
    """When no plugin succeeds a person is asked, unseen; without plugins too."""
    programs.script("fail.d", "fails", "#!/bin/sh\nexit 1\n")
    for folder in ("fail.d", "none.d"):
        with Terminal(programs.host, *_command(programs, folder)) as terminal:
            terminal.wait_for(b"Password: $")
            assert not terminal.echoes()
            terminal.type(b"typed in the end\n")
            assert terminal.finish() == (0, b"typed in the end"), terminal.report("no password")
            assert terminal.echoes()
            assert b"typed" not in terminal.shown


def test_the_console_is_asked_while_a_plugin_only_fails_for_now(programs: BootPrograms) -> None:
    """A plugin that fails temporarily again and again is tried on, but does not keep people out."""
    programs.script("later.d", "later", "#!/bin/sh\necho not yet >&2\nexit 75\n")
    with Terminal(programs.host, *_command(programs, "later.d")) as terminal:
        terminal.wait_for(b"(?s)not yet.*not yet.*not yet.*Password: ")
        terminal.wait_for(b"not yet")
        terminal.type(b"typed\n")
        assert terminal.finish() == (0, b"typed"), terminal.report("no password")


def test_a_mistake_of_ours_does_not_keep_people_out(programs: BootPrograms) -> None:
    """Whatever breaks inside, the console is asked."""
    code = (
        f"import sys; sys.path.insert(0, '{PLACE}/python'); "
        "import mandos.boot.runner.main as runner;"
        "runner.find_plugins = lambda *_: 1 / 0; sys.exit(runner.main())"
    )
    with Terminal(programs.host, "/usr/bin/python3", "-IS", "-c", code) as terminal:
        terminal.wait_for(b"unexpected failure, please report it: ZeroDivisionError")
        terminal.wait_for(b"Password: $")
        terminal.type(b"typed\n")
        assert terminal.finish() == (0, b"typed"), terminal.report("no password")
        assert terminal.echoes()


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGTERM, b""), (signal.SIGHUP, b"plugin-runner: ended by SIGHUP\r\n")],
)
def test_the_consoles_terminal_is_restored(
    programs: BootPrograms, number: signal.Signals, said: bytes
) -> None:
    """A signal while a person is asked leaves the terminal as it was."""
    with Terminal(programs.host, *_command(programs, "none.d")) as terminal:
        terminal.wait_for(b"Password: $")
        terminal.signal(number)
        assert terminal.finish() == (128 + number, b"")
        assert terminal.echoes()
        assert terminal.shown == b"Password: \r\n" + said


def test_nobody_has_a_password(programs: BootPrograms) -> None:
    """Neither plugins nor a terminal: an error, and no success."""
    with programs.host.start(*_command(programs, "none.d")) as runner:
        assert runner.wait() == 69
        runner.wait_for("^plugin-runner: no plugin had a password, and none was typed$")


def test_a_missing_directory_is_told(programs: BootPrograms) -> None:
    """And the console is still asked."""
    command = (programs.runner, "--plugin-dir=/run/nowhere", "--config-file=/dev/null")
    with Terminal(programs.host, *command) as terminal:
        terminal.wait_for(b"cannot read the plugin directory /run/nowhere: No such file")
        terminal.wait_for(b"Password: $")
        terminal.type(b"x\n")
        assert terminal.finish() == (0, b"x")


@pytest.mark.parametrize(("output", "status"), [("/run/out", 0), ("/dev/full", 74), ("&-", 74)])
def test_where_the_output_goes(programs: BootPrograms, output: str, status: int) -> None:
    """A file gets the same bytes; one that is full or closed is an error without the password."""
    programs.script("output.d", "wins", "#!/bin/sh\nprintf hunter2\n")
    command = " ".join(_command(programs, "output.d"))
    with programs.host.start("/bin/sh", "-c", f"exec {command} >{output}") as runner:
        assert runner.wait() == status, runner.report("another status")
        assert "hunter2" not in runner.log
    if status == 0:
        assert programs.host.path(output).read_bytes() == b"hunter2"


def test_a_reader_that_went_away_is_told(programs: BootPrograms) -> None:
    """A pipe that nobody reads is an error."""
    programs.script("unread.d", "wins", "#!/bin/sh\nprintf hunter2\n")
    command = " ".join(_command(programs, "unread.d"))
    went_away = "mkfifo /run/unread; exec 3<>/run/unread 4>/run/unread 3>&-"
    with programs.host.start("/bin/sh", "-c", f"{went_away}; exec {command} >&4") as runner:
        assert runner.wait() == 74
        assert runner.lines == ["plugin-runner: cannot write the password: Broken pipe"]


def test_the_reader_need_not_wait_for_the_losers(programs: BootPrograms) -> None:
    """Standard output is closed as soon as the password is written."""
    until = "until [ -e {} ]; do sleep 0.02; done"
    lingers = f"#!/bin/sh\ntrap '' TERM\ntouch /run/tmp/lingers\n{until.format('/run/go')}\n"
    wins = f"#!/bin/sh\n{until.format('/run/tmp/lingers')}\nprintf hunter2\n"
    programs.script("linger.d", "lingers", lingers)
    programs.script("linger.d", "wins", wins)
    command = " ".join(_command(programs, "linger.d"))
    with programs.host.start("/bin/sh", "-c", f"{command} | {{ cat; touch /run/go; }}") as runner:
        assert runner.wait() == 0
        assert runner.lines == ["hunter2"]


def test_the_longest_output_comes_whole(programs: BootPrograms) -> None:
    """Any bytes, as many as a password may have; one byte more is no password."""
    program = "#!/usr/bin/python3 -IS\nimport os\nos.write(1, bytes(range(256)) * 8{more})\n"
    programs.script("longest.d", "key", program.format(more=""))
    assert programs.host.run(*_command(programs, "longest.d")) == bytes(range(256)) * 8
    programs.script("longer.d", "key", program.format(more=" + b'x'"))
    with programs.host.start(*_command(programs, "longer.d")) as runner:
        assert runner.wait() == 69
        assert "plugin-runner: key: printed more than 2048 bytes; killed" in runner.lines
        assert runner.stdout == b""


def test_closed_descriptors_do_no_harm(programs: BootPrograms) -> None:
    """Started with standard input and errors closed, as a careless caller does it."""
    programs.script("output.d", "wins", "#!/bin/sh\nprintf hunter2\n")
    command = " ".join(_command(programs, "output.d"))
    assert programs.host.run("/bin/sh", "-c", f"exec {command} <&- 2>&-") == b"hunter2"


def test_mistakes_on_the_command_line(programs: BootPrograms) -> None:
    """Status 64, the mistake and where help is; no plugin is started."""
    for options in (["--nonsense"], ["two", "words"], ["-o", "x"], ["-G", "x"], ["-E", ":A=1"]):
        with programs.host.start(*_command(programs, "output.d", *options)) as runner:
            assert runner.wait() == 64, runner.report("accepted")
            assert runner.stdout == b""


def test_a_keyscript_is_given_the_third_field_of_crypttab(programs: BootPrograms) -> None:
    """It is the only argument, crypttab(5); the reference's runner refuses it, and only asks."""
    programs.script("keyscript.d", "plugin", "#!/bin/sh\nprintf sesame\n")
    command = _command(programs, "keyscript.d", "none")
    with programs.host.start(*command) as running:
        assert running.wait() == 0, running.report("refused")
        assert running.stdout == b"sesame"


#: The two families' runners; which must get on with all plugins.
RUNNERS = ["ours", "reference"]


def _runner(programs: BootPrograms, family: str) -> str:
    return programs.runner if family == "ours" else reference_runner()


def _fill(programs: BootPrograms, family: str) -> str:
    """The folder of the family's console plugins."""
    folder = f"{family}-plugins.d"
    for name in ("password-prompt", "askpass-fifo", "plymouth"):
        if family == "ours":
            programs.plugin(folder, name)
        else:
            programs.copy(folder, reference_plugin(name))
    return programs.folder(folder)


@pytest.mark.parametrize("plugins", RUNNERS)
@pytest.mark.parametrize("runner", RUNNERS)
def test_a_typed_password(programs: BootPrograms, runner: str, plugins: str) -> None:
    """Each family's runner with each family's prompt, on one terminal with all plugins."""
    command = (_runner(programs, runner), "--plugin-dir", _fill(programs, plugins))
    disk = {"CRYPTTAB_SOURCE": "/dev/sda5", "CRYPTTAB_NAME": "root"}
    with Terminal(programs.host, *command, "--config-file=/dev/null", environment=disk) as terminal:
        terminal.wait_for(rb"Unlocking the disk /dev/sda5 \(root\)\r\n.*Enter passphrase: $")
        assert not terminal.echoes()
        terminal.type(b"correct horse\n")
        assert terminal.finish() == (0, b"correct horse"), terminal.report("no password")
        assert terminal.echoes()


#: A client that has something to say while a person is asked.
TELLING = """#!/bin/sh
until [ -e /run/tell ]; do sleep 0.05; done
echo "mandos-client: notice: one thing" >&2
echo "mandos-client: notice: another" >&2
exec sleep 600
"""


@pytest.mark.parametrize("asking", ["password-prompt", "console"])
def test_what_a_plugin_says_does_not_stand_in_the_prompt(
    programs: BootPrograms, asking: str
) -> None:
    """It begins on a fresh line, and the prompt is shown again after it."""
    folder = f"telling-{asking}.d"
    prompt = rb"Enter passphrase to unlock the disk: $"
    if asking == "password-prompt":
        programs.plugin(folder, "password-prompt")
        programs.script(folder, "mandos-client", TELLING)
    else:
        prompt = rb"Password: $"
        programs.script(folder, "mandos-client", TELLING.replace("exec sleep 600", "exit 75"))
    tell = programs.host.path("/run/tell")
    tell.unlink(missing_ok=True)
    if asking == "console":
        tell.touch()
    with Terminal(programs.host, *_command(programs, folder)) as terminal:
        terminal.wait_for(prompt)
        tell.touch()
        terminal.wait_for(
            rb"\r\nmandos-client: notice: one thing\r\n(.*\r\n)*"
            rb"mandos-client: notice: another\r\n(.*\r\n)*" + prompt
        )
        terminal.type(b"typed\n")
        assert terminal.finish() == (0, b"typed"), terminal.report("no password")


def _user_ids(programs: BootPrograms, program: str) -> bytes:
    """Real, effective, saved and file system user ID of a running program."""
    finding = (
        f"for process in /proc/[0-9]*; do if tr '\\0' ' ' <$process/cmdline 2>/dev/null |"
        f" grep -q 'python3 .*/{program} $'; then grep ^Uid $process/status; fi; done"
    )
    return programs.host.run("/bin/sh", "-c", finding)


def _is_unprivileged(programs: BootPrograms, program: str) -> None:
    """See a program without its rights; it has them while it makes or opens a file."""
    patience = Patience(PATIENCE)
    while (ids := _user_ids(programs, program)) != b"Uid:\t65534\t65534\t0\t65534\n":
        assert not patience.is_over(), ids


@pytest.mark.parametrize(("runner", "plugins"), [("ours", "reference"), ("ours", "ours")])
def test_a_password_by_the_fifo(programs: BootPrograms, runner: str, plugins: str) -> None:
    """It ends the prompt beside it, whose terminal is restored."""
    command = (_runner(programs, runner), "--plugin-dir", _fill(programs, plugins))
    with Terminal(programs.host, *command, "--config-file=/dev/null") as terminal:
        terminal.wait_for(b"Enter passphrase to unlock the disk: $")
        fifo = f"{FIFO_FOLDER}/passfifo"
        waiting = f"until [ -p {fifo} ]; do :; done"
        programs.host.run("/bin/sh", "-c", waiting)
        if plugins == "ours":
            _is_unprivileged(programs, "askpass-fifo")
        programs.host.run("/bin/sh", "-c", f"{waiting}; printf remote >{fifo}")
        assert terminal.finish() == (0, b"remote"), terminal.report("no password")
        assert terminal.echoes()


def _fetch_options(keys: Credentials, host: Host, address: str) -> list[str]:
    there = keys.install(host)
    host.run("chown", "-R", "65534:65534", there)
    options = (
        *(f"--pubkey={there}/pubkey.txt", f"--seckey={there}/seckey.txt"),
        *(f"--tls-pubkey={there}/tls-pubkey.pem", f"--tls-privkey={there}/tls-privkey.pem"),
        *(f"--connect={address}", "--interface=eth0", "--retry=1"),
    )
    return ["--config-file=/dev/null", f"--options-for=mandos-client:{','.join(options)}"]


@pytest.mark.parametrize("plugin", ["ours", "reference"])
def test_the_whole_journey(link: Link, keys_of: Keys, plugin: str) -> None:
    """Our runner starts either mandos-client, which fetches the password from a real server."""
    keys = keys_of(ours())
    programs = install_boot_programs(link.client)
    folder = f"journey-{plugin}.d"
    if plugin == "ours":
        programs.plugin(folder, "mandos-client")
    else:
        programs.copy(folder, reference().client)
    programs.script(folder, "waits", WAITING)
    with start_server(link.server, ours(), keys.section) as server:
        command = [programs.runner, "--plugin-dir", programs.folder(folder)]
        options = _fetch_options(keys, link.client, server.address)
        with link.client.start(*command, *options) as runner:
            assert runner.wait() == 0, runner.report("no password")
            assert runner.stdout == keys.password


def test_their_runner_starts_our_client(link: Link, keys_of: Keys) -> None:
    """A runner that gives scripts no rights: our client needs none where the network is up."""
    keys = keys_of(ours())
    programs = install_boot_programs(link.client)
    programs.plugin("their-runner.d", "mandos-client")
    with start_server(link.server, ours(), keys.section) as server:
        command = [reference_runner(), "--plugin-dir", programs.folder("their-runner.d")]
        options = _fetch_options(keys, link.client, server.address)
        with link.client.start(*command, *options) as runner:
            assert runner.wait() == 0, runner.report("no password")
            assert runner.stdout == keys.password
