# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin plymouth, and password-prompt's way around it, with a real plymouthd."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from harness.askers import QUESTIONS, ask
from harness.boot import install_boot_programs
from harness.boot_screen import BootScreen
from harness.host import Host
from mandos.passwords import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.boot import BootPrograms

pytestmark = pytest.mark.peer

#: Answers the only question that there is, by systemd's own program.
ANOTHER_AGENT = f"""socket=$(sed -n s/^Socket=//p {QUESTIONS}/ask.*)
echo of another agent | /lib/systemd/systemd-reply-password 1 "$socket"
"""


@pytest.fixture(scope="module")
def programs(_possible: None) -> Iterator[BootPrograms]:
    """A host with our early-boot programs."""
    if shutil.which("plymouthd") is None:
        pytest.skip("plymouth is not installed (tools/test-setup installs it when root)")
    with Host("boot screen") as host:
        yield install_boot_programs(host)


@pytest.fixture
def screen(programs: BootPrograms) -> Iterator[BootScreen]:
    """A boot screen that is shown."""
    with BootScreen(programs.host) as shown:
        yield shown


def test_the_answer_is_printed(programs: BootPrograms, screen: BootScreen) -> None:
    """The question names the disk; what is typed is printed with nothing added."""
    plugin = programs.plugin("plymouth.d", "plymouth")
    environment = {"CRYPTTAB_SOURCE": "/dev/sda5", "CRYPTTAB_NAME": "root"}
    with programs.host.start(plugin, environment=environment) as asking:
        screen.wait_for(r"Unlocking the disk /dev/sda5 \(root\)\r\nEnter passphrase:")
        screen.type(b"correct horse\n")
        assert asking.wait() == 0, asking.report("no answer")
        assert asking.stdout == b"correct horse"
        assert asking.lines == ["correct horse"]


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
def test_the_longest_answer(programs: BootPrograms, screen: BootScreen, size: int) -> None:
    """As long as a password may be; one byte more, and plugin-runner has to start it again."""
    plugin = programs.plugin("plymouth.d", "plymouth")
    with programs.host.start(plugin, "--prompt=Question") as asking:
        screen.wait_for("Question:")
        screen.type(b"y" * size + b"\n")
        assert asking.wait() == (0 if size == LIMIT else 75), asking.report("another end")
        assert asking.stdout == (b"y" * size if size == LIMIT else b"")


def test_a_question_that_is_stopped_goes_away(programs: BootPrograms, screen: BootScreen) -> None:
    """SIGTERM ends the plugin, and the next question is the first to be answered."""
    plugin = programs.plugin("plymouth.d", "plymouth")
    with programs.host.start(plugin, "--prompt=Old question") as asking:
        screen.wait_for("Old question:")
        assert asking.terminate() == 143, asking.report("not ended by the signal")
        assert asking.stdout == b""
    assert screen.daemon.wait() == 0, "the daemon that showed the question still runs"
    with programs.host.start(plugin, "--prompt=New question") as asking:
        screen.wait_for("New question:")
        screen.type(b"typed\n")
        assert asking.wait() == 0, asking.report("no answer")
        assert asking.stdout == b"typed"


def test_plymouth_itself_keeps_a_question(programs: BootPrograms, screen: BootScreen) -> None:
    """Why the daemon is started anew: plymouth(8) leaves its question when it is killed."""
    command = ("/bin/plymouth", "ask-for-password")
    with programs.host.start(*command, "--prompt=Old question") as asking:
        screen.wait_for("Old question:")
        asking.terminate()
    with programs.host.start(*command, "--prompt=New question") as asking:
        screen.type(b"for the old one\n")
        screen.wait_for("New question:")
        screen.type(b"for the new one\n")
        assert asking.wait() == 0
        assert asking.stdout == b"for the new one"


def test_systemd_keeps_a_question(programs: BootPrograms, screen: BootScreen) -> None:
    """The agent of systemd leaves its question, too, when another one, not ours, has answered."""
    host = programs.host
    host.path(QUESTIONS).mkdir(parents=True)
    with host.start("systemd-tty-ask-password-agent", "--watch", "--plymouth"):
        with ask(host, "old") as asker:
            screen.wait_for("Password of old:")
            host.run("sh", "-ec", ANOTHER_AGENT)
            assert asker.wait() == 0
            assert asker.stdout == b"of another agent"
        with ask(host, "new") as asker:
            screen.type(b"for the old one\n")
            screen.wait_for("Password of new:")
            screen.type(b"for the new one\n")
            assert asker.wait() == 0
            assert asker.stdout == b"for the new one"


@pytest.mark.usefixtures("screen")
def test_the_prompt_leaves_the_boot_screen_alone(programs: BootPrograms) -> None:
    """Where plymouthd runs, password-prompt ends at once, without success and in silence."""
    plugin = programs.plugin("plymouth.d", "password-prompt")
    with programs.host.start(plugin) as prompt:
        assert prompt.wait() == 69
        assert prompt.log == ""


def test_without_a_boot_screen_nobody_is_asked(programs: BootPrograms) -> None:
    """No plymouthd: status 69, in silence; a stale PID file changes nothing."""
    programs.host.path("/run/plymouth").mkdir(exist_ok=True)
    programs.host.path("/run/plymouth/pid").write_text("1\n", encoding="ascii")
    with programs.host.start(programs.plugin("plymouth.d", "plymouth")) as plugin:
        assert plugin.wait() == 69
        assert plugin.log == ""
