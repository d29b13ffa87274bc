# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The longest password, and one byte more, through every program and to those who ask for it."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.askers import QUESTIONS, ask, start_agent
from harness.boot import install_boot_programs
from harness.console import Terminal
from harness.early_boot import EarlyBoot
from harness.families import ours
from harness.host import Host
from harness.keys import make_credentials
from harness.peers import fetch, start_client, start_server
from mandos.openpgp.sealing import seal
from mandos.passwords import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.boot import BootPrograms
    from harness.host import Link

pytestmark = pytest.mark.peer

_BYTES = hashlib.shake_256(b"any bytes").digest(LIMIT + 1)
#: Any bytes, line breaks and NUL included.
LONGEST, TOO_LONG = _BYTES[:LIMIT], _BYTES
#: What systemd can take: the same without NUL.
LONGEST_TEXT, TOO_LONG_TEXT = LONGEST.replace(b"\0", b"\n"), TOO_LONG.replace(b"\0", b"\n")
SAID = "the password has more than the 2048 bytes that systemd takes"


@pytest.fixture(scope="module")
def programs(_possible: None) -> Iterator[BootPrograms]:
    """A host with our early-boot programs."""
    with Host("console") as host:
        yield install_boot_programs(host)


@pytest.fixture
def host(_possible: None) -> Iterator[Host]:
    """A host where systemd's programs can ask."""
    with Host("asking") as host:
        host.path(QUESTIONS).mkdir(parents=True)
        yield host


def test_client(link: Link) -> None:
    """Sealed by mandos-keygen, sent by the server, printed by the client; more is never printed."""
    with Host("workshop") as workshop:
        keys = make_credentials(workshop, ours(), "longest", LONGEST, kind=())
        secret_key = workshop.path(f"{keys.directory}/seckey.txt").read_bytes()
        with start_server(link.server, ours(), keys.section) as running:
            assert fetch(link.client, ours(), keys, connect=running.address) == LONGEST
        longer = keys.with_secret(seal(TOO_LONG, secret_key))
        with (
            start_server(link.server, ours(), longer.section) as running,
            start_client(link.client, ours(), longer, connect=running.address) as client,
        ):
            client.wait_for(f"the password has {LIMIT + 1} bytes, more than the {LIMIT} bytes")
            assert client.running
            assert client.stdout == b""


def test_password_prompt(programs: BootPrograms) -> None:
    """Typed: a line that is too long, or that the terminal cuts, is asked for again."""
    prompt = programs.plugin("prompt.d", "password-prompt")
    with Terminal(programs.host, prompt) as terminal:
        for size in (LIMIT + 1, 5000):
            terminal.wait_for(b": $")
            terminal.type(b"x" * size + b"\n")
            terminal.wait_for(SAID.encode())
        terminal.wait_for(b": $")
        terminal.type(b"y" * LIMIT + b"\n")
        assert terminal.finish() == (0, b"y" * LIMIT)


@pytest.mark.parametrize("password", [LONGEST, TOO_LONG], ids=["longest", "too long"])
def test_askpass_fifo(programs: BootPrograms, password: bytes) -> None:
    """By the FIFO."""
    fifo = "/run/passfifo"
    askpass = programs.plugin("fifo.d", "askpass-fifo", f'fifo="{fifo}"')
    programs.host.path("/run/password").write_bytes(password)
    with programs.host.start(askpass) as reading:
        send = f"until [ -p {fifo} ]; do :; done; cat /run/password >{fifo}"
        programs.host.run("/bin/sh", "-c", send)
        if password == LONGEST:
            assert reading.wait() == 0
            assert reading.stdout == LONGEST
        else:
            assert reading.wait() == 75  # plugin-runner starts it again
            assert reading.lines == [f"askpass-fifo: {SAID}"]
            assert reading.stdout == b""


@pytest.mark.parametrize("password", [LONGEST_TEXT, TOO_LONG_TEXT], ids=["longest", "too long"])
def test_password_agent(host: Host, password: bytes) -> None:
    """To systemd-ask-password: whole, or not at all and with a reason."""
    with ExitStack() as stack:
        host.path("/run/password").write_bytes(password)
        asker = stack.enter_context(ask(host, "disk"))
        agent = stack.enter_context(start_agent(host, ours()))
        if password == LONGEST_TEXT:
            assert asker.wait() == 0
            assert asker.stdout == LONGEST_TEXT
        else:
            agent.wait_for(f"{SAID}; give the disk another passphrase")
            assert asker.running
            assert "answered" not in agent.log


def test_password_agent_and_nul(host: Host) -> None:
    """What systemd would split at a NUL byte is not sent."""
    with ExitStack() as stack:
        host.path("/run/password").write_bytes(b"a\0b")
        asker = stack.enter_context(ask(host, "other"))
        agent = stack.enter_context(start_agent(host, ours()))
        agent.wait_for("the password has a NUL byte, where systemd splits it")
        assert asker.running
        assert "answered" not in agent.log


def test_systemd_has_this_limit(host: Host) -> None:
    """It cuts off the bytes after those of our limit: so the limit is the right one."""
    host.path("/run/answer.py").write_text(ANSWER)
    for size in (LIMIT, LIMIT + 1):
        with ask(host, f"size {size}") as asker:
            host.run("/usr/bin/python3", "-I", "/run/answer.py", str(size))
            asker.wait()
            assert asker.stdout == b"x" * LIMIT


ANSWER = """
import glob, socket, sys
text = open(glob.glob("/run/systemd/ask-password/ask.*")[0]).read()
path = next(line for line in text.splitlines() if line.startswith("Socket="))[7:]
answer = b"+" + b"x" * int(sys.argv[1])
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(answer, path)
"""


@pytest.mark.parametrize("password", [LONGEST, TOO_LONG], ids=["longest", "too long"])
def test_handover(image_tree: Path, password: bytes) -> None:
    """To the prompt of cryptsetup-initramfs, in a real image: whole, or not and with a reason."""
    if shutil.which("script") is None:
        pytest.skip("script is not installed (tools/test-setup installs it when root)")
    with EarlyBoot(image_tree) as boot:
        boot.use_plugin("cat /password")
        boot.file("/password").write_bytes(password)
        job = boot.boot_script("init-premount")
        prompt = boot.ask("cryptroot")
        if password == LONGEST:
            assert prompt.answer() == LONGEST
        else:
            job.wait_for("local: printed more than 2048 bytes; killed")
            prompt.type("typed\n")
            assert prompt.answer() == b"typed"
