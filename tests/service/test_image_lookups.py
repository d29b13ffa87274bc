# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of a real image, with its own Python, on all kinds of networks: nothing is missing.

Each test ends with the question whether a module, a codec or a file was looked for in vain that
has to be there (harness/lookups.py).  Following imports cannot answer that, for the interpreter and
the C library load things by themselves.
"""

from __future__ import annotations

import shutil
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.askers import QUESTIONS, Asker
from harness.bus import start_avahi, start_system_bus
from harness.families import ours
from harness.keys import seal_with_gnupg
from harness.lookups import WatchedImage
from harness.peers import PORT, REFUSED, SENT, start_server
from harness.vm.boot import Site
from harness.vm.images import PASSWORD, SUITES, why_no_vm
from harness.vm.images import image as make_image
from harness.vm.overlay import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.families import Family
    from harness.host import Host
    from harness.keys import Credentials
    from harness.process import Process

pytestmark = pytest.mark.peer

OURS = ours()
#: A password without NUL, which password-agent could not pass on.
ANSWER = b"correct horse battery \xff\n staple"
#: This machine's, and those of other releases with their own Python, which may have to be made.
IMAGES = [
    pytest.param(None, id="here"),
    *(
        pytest.param(
            (generator, suite),
            id=f"{generator}-{suite}",
            marks=(pytest.mark.slow, pytest.mark.timeout(3600)),
        )
        for suite in SUITES
        for generator in ("initramfs-tools", "dracut")
    ),
]
CLIENT = "/lib/mandos/plugins.d/mandos-client"
RUNNER = "/lib/mandos/plugin-runner"
AGENT = "/lib/mandos/password-agent"
PROGRAMS = {
    *("mandos-handover", "password-agent", "plugin-runner"),
    *("askpass-fifo", "mandos-client", "password-prompt", "plymouth"),
}
#: The server's IPv4 address, the client's, and the name that leads to the server.
SERVER4, CLIENT4, NAME = "192.0.2.1", "192.0.2.2", "keeper.example.org"
TLS12 = "SECURE128:!CTYPE-X.509:+CTYPE-RAWPK:!RSA:!VERS-ALL:+VERS-TLS1.2:%PROFILE_ULTRA"
#: What early boot may have set: nothing, what dracut takes from /etc/locale.conf, and worse.
LOCALES = {
    "none": {},
    "posix": {"LC_ALL": "POSIX"},
    "german": {"LANG": "de_DE.UTF-8"},
    "latin1": {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONIOENCODING": "latin-1"},
    "japanese": {"LANG": "ja_JP.eucJP", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
#: Programs that end by themselves, since they only have something to say, and their exit status.
SAYINGS = (
    ((CLIENT, "--help"), 0),
    ((CLIENT, "--version"), 0),
    ((CLIENT, "--grün"), 64),
    ((CLIENT, "--connect=grün:1"), 64),
    ((CLIENT, "--tls-privkey=/grün"), 78),
    ((CLIENT, "--tls-pubkey=/conf/conf.d/mandos/seckey.txt"), 78),
    ((CLIENT, "--priority=GRÜN"), 78),
    ((RUNNER, "--help"), 0),
    ((RUNNER, "--grün"), 64),
    ((AGENT, "--test"), 0),
    ((AGENT, "--usage"), 0),
)
#: A program that looks for things in vain, the last ones in a child process without output.
NEEDY = """\
import sys
import os, _ctypes
def fails(function, *arguments):
    try:
        function(*arguments)
    except (OSError, LookupError, ImportError):
        return
    raise SystemExit("found")
fails(open, "/proc/version", "r", -1, "ascii")
fails(__import__, "absent")
if os.fork() == 0:
    os.closerange(0, 100)
    fails(open, "/etc/absent")
    fails(_ctypes.dlopen, "libabsent.so.1", 1)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
#: A defect in a program: it ends with an exception that nothing handles.
DEFECT = """\
import sys
sys.path[:0] = ["/usr/lib/mandos/python"]
from mandos.errors import MachineError
def main(text):
    try:
        raise OSError(5, text)
    except OSError as error:
        raise MachineError("a defect: \\u00fc") from error
main("\\udcff")
"""


class Made(NamedTuple):
    """An image's tree, and what a server needs to serve it."""

    tree: Path
    section: str
    password: bytes


@pytest.fixture(scope="session", params=IMAGES)
def made(
    request: pytest.FixtureRequest,
    keys_of: Callable[[Family], Credentials],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Made]:
    """An image of this machine's mkinitramfs, or of a release's generator."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (tools/test-setup installs it when root)")
    if request.param is None:
        keys = keys_of(OURS)
        sealed = keys.with_secret(seal_with_gnupg(keys, ANSWER))
        yield Made(request.getfixturevalue("image_tree"), sealed.section, ANSWER)
        return
    if (reason := why_no_vm()) is not None:
        pytest.skip(reason)
    generator, suite = request.param
    image = make_image(generator, "ours", suite)
    folder = tmp_path_factory.mktemp("image") / "tree"
    yield Made(unpack(image, folder), image.section, PASSWORD.encode())
    shutil.rmtree(folder)


@pytest.fixture
def machine(site: Site, made: Made) -> Iterator[WatchedImage]:
    """An image at work on the site; afterwards nothing was looked for in vain."""
    with WatchedImage(made.tree) as image:
        assert set(image.watched) == PROGRAMS
        site.cable(image)
        yield image
        assert image.missing() == set()


def _server(site: Site, made: Made, stack: ExitStack, *options: str) -> Host:
    """A host whose server announces itself."""
    host = site.host()
    stack.enter_context(start_server(host, OURS, made.section, zeroconf=True, options=options))
    return host


def _expect_password(process: Process, made: Made) -> None:
    assert process.wait() == 0, process.report("no password")
    assert process.stdout.endswith(made.password)


def test_observers_see(made: Made, stack: ExitStack) -> None:
    """What all tests below rely on: a codec, a module, a file and a library are missing."""
    image = stack.enter_context(WatchedImage(made.tree))
    image.add_program("/lib/mandos/needy", NEEDY)
    process = image.watch("/lib/mandos/needy")
    assert process.wait() == 0, process.report("failed")
    assert image.missing() == {
        "the module encodings.ascii",
        "the module absent",
        "/etc/absent",
        "/lib/x86_64-linux-gnu/libabsent.so.1",
        "/usr/lib/x86_64-linux-gnu/libabsent.so.1",
        "/lib/libabsent.so.1",
        "/usr/lib/libabsent.so.1",
    }


@pytest.mark.parametrize("options", [(), ("--debug",), ("--dh-bits=2048",), ("--interface=eth0",)])
def test_password_where_there_is_a_router(
    site: Site, made: Made, machine: WatchedImage, stack: ExitStack, options: tuple[str, ...]
) -> None:
    """The server announces itself with addresses of all kinds."""
    _server(site, made, stack)
    _expect_password(machine.watch(CLIENT, *options), made)


@pytest.mark.parametrize("address", ["", "fd00::1", "2001:db8::1", SERVER4])
def test_password_where_there_is_no_router(made: Made, stack: ExitStack, address: str) -> None:
    """Avahi answers from the server's static address, for which the client has no network."""
    site = Site(stack, router=False)
    host = site.host()
    host.give_addresses(*filter(None, [address]))
    start_system_bus(host)
    start_avahi(host)
    stack.enter_context(start_server(host, OURS, made.section, zeroconf=True))
    image = stack.enter_context(WatchedImage(made.tree))
    site.cable(image)
    _expect_password(image.watch(CLIENT), made)
    assert image.missing() == set()


@pytest.mark.parametrize("how", ["ipv4", "global", "link_local", "hosts", "dns"])
def test_password_by_connect(
    site: Site, made: Made, machine: WatchedImage, stack: ExitStack, how: str
) -> None:
    """A server may be named by an address, or by a name that a file or a name server knows."""
    host = site.host()
    host.give_addresses(SERVER4)
    machine.run("ip", "link", "set", "eth0", "up")
    machine.give_addresses(CLIENT4)
    (public, _local) = host.addresses(number=2)
    names = {"ipv4": SERVER4, "global": public, "link_local": f"{host.link_local()}%eth0"}
    if how == "hosts":
        machine.file("/etc/hosts").write_text(f"{SERVER4} {NAME}\n", encoding="utf-8")
    if how == "dns":
        _serve_names(host, machine)
    stack.enter_context(start_server(host, OURS, made.section))
    _expect_password(machine.watch(CLIENT, f"--connect={names.get(how, NAME)}:{PORT}"), made)


def _serve_names(host: Host, machine: WatchedImage) -> None:
    """Run a name server, which the image's resolver asks."""
    if shutil.which("dnsmasq") is None:
        pytest.skip("dnsmasq is not installed (tools/test-setup installs it when root)")
    dnsmasq = host.start(
        *("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--no-resolv", "--no-hosts"),
        *("--conf-file=/dev/null", "--user=root", "--pid-file="),
        *(f"--address=/{NAME}/{SERVER4}", "--local=/example.net/"),
    )
    dnsmasq.wait_for("started, version")
    machine.file("/etc/resolv.conf").write_text(f"nameserver {SERVER4}\n", encoding="utf-8")


@pytest.mark.parametrize("resolver", [True, False], ids=["name_server", "no_name_server"])
def test_name_that_nobody_knows(site: Site, machine: WatchedImage, *, resolver: bool) -> None:
    """The client goes on trying, and ends when it is asked to."""
    machine.run("ip", "link", "set", "eth0", "up")
    machine.give_addresses(CLIENT4)
    if resolver:
        host = site.host()
        host.give_addresses(SERVER4)
        _serve_names(host, machine)
    words = (f"--connect=nowhere.example.net:{PORT}", "--retry=0.1", "--debug")
    process = machine.watch(CLIENT, *words)
    process.wait_for("mandos-client: ")
    process.rest()
    assert process.terminate() == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_server(machine: WatchedImage, number: signal.Signals) -> None:
    """A client that waits is ended by each of its signals."""
    process = machine.watch(CLIENT, "--debug")
    process.wait_for("bringing up the network interface eth0")
    process.signal(number)
    assert process.wait() == 128 + number


def test_interface_that_does_not_exist(machine: WatchedImage) -> None:
    """A person is told, in words that the image has."""
    process = machine.watch(CLIENT, "--interface=eno1")
    process.wait_for("the network interface eno1 does not exist")
    assert process.terminate() == 128 + signal.SIGTERM


@pytest.mark.parametrize("case", ["unknown", "disabled", "unopenable", "armored", "old_tls"])
def test_server_that_does_not_help(
    site: Site, made: Made, machine: WatchedImage, stack: ExitStack, case: str
) -> None:
    """It refuses, sends rubbish, or speaks another TLS: the client says so and goes on."""
    sections = {
        "unknown": f"[alpha]\nkey_id = {'ab' * 32}\nsecret = AAAA\nhost = x\n",
        "disabled": f"{made.section}enabled = no\n",
        "unopenable": _with_secret(made.section, "AHJ1YmJpc2g="),
        "armored": _with_secret(made.section, "LS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS0tCgp4Cg=="),
    }
    host = site.host()
    section = sections.get(case, made.section)
    server = stack.enter_context(start_server(host, OURS, section, zeroconf=True))
    options = [f"--priority={TLS12}"] if case == "old_tls" else []
    process = machine.watch(CLIENT, "--retry=0.1", *options)
    told = process.wait_for("asking again in")
    process.wait_for("mandos-client: ", after=told - 1)
    if case in {"unknown", "disabled"}:
        server.wait_for(REFUSED["ours", case])
    elif case != "old_tls":
        server.wait_for(SENT["ours"])
    assert process.terminate() == 128 + signal.SIGTERM


def _with_secret(section: str, secret: str) -> str:
    return f"{section.partition('secret =')[0]}secret = {secret}\n"


@pytest.mark.parametrize("locale", LOCALES)
def test_words_in_any_locale(made: Made, stack: ExitStack, locale: str) -> None:
    """What is said to a person needs no locale, whatever the environment has set."""
    image = stack.enter_context(WatchedImage(made.tree))
    image.file("/grün").write_bytes(b"no key")
    for words, status in SAYINGS:
        process = image.watch(*words, environment=LOCALES[locale])
        assert process.wait() == status, process.report(f"not {status}")
        assert "Traceback" not in process.log
    assert image.missing() == set()


def test_plugin_runner_gets_the_password(
    site: Site, made: Made, machine: WatchedImage, stack: ExitStack
) -> None:
    """With all plugins at once."""
    _server(site, made, stack)
    _expect_password(machine.watch(RUNNER), made)


def test_person_types_the_password(machine: WatchedImage) -> None:
    """Without a server, at the console."""
    prompt = "--options-for=password-prompt:--prompt=say it\n"  # a whole line can be waited for
    process = machine.watch(RUNNER, prompt, terminal=True)
    process.wait_for("say it")
    process.send("open säsame\n".encode())
    assert process.wait() == 0, process.report("no password")
    assert "open säsame".encode() in process.stdout


def test_password_agent_answers(
    site: Site, made: Made, machine: WatchedImage, stack: ExitStack
) -> None:
    """A question of systemd's is answered."""
    _server(site, made, stack)
    machine.file(QUESTIONS).mkdir(parents=True)
    asker = stack.enter_context(Asker(machine.file(QUESTIONS), QUESTIONS)).listen().ask()
    agent = machine.watch(AGENT, "--", CLIENT)
    assert asker.socket.recv(1 << 16) == b"+" + made.password
    assert agent.terminate() == -signal.SIGTERM


def test_password_is_handed_over(
    site: Site, made: Made, machine: WatchedImage, stack: ExitStack
) -> None:
    """By the real boot scripts of initramfs-tools, to the real prompt."""
    if not machine.file("/scripts/init-premount/mandos").exists():
        pytest.skip("dracut's images have other scripts")
    _server(site, made, stack)
    job = machine.watch("/scripts/init-premount/mandos", environment={"DEVICE": ""})
    assert machine.ask("cryptroot").answer() == made.password
    assert machine.boot_script("init-bottom").wait() == 0
    job.wait()


def test_network_hook_runs(site: Site, made: Made, machine: WatchedImage, stack: ExitStack) -> None:
    """A hook of the administrator's, which fails."""
    hooks = machine.file("/lib/mandos/network-hooks.d")
    hooks.mkdir(exist_ok=True)
    (hooks / "hook").write_text("#!/bin/sh\necho hooked >&2\nexit 3\n", encoding="utf-8")
    (hooks / "hook").chmod(0o755)
    _server(site, made, stack)
    process = machine.watch(CLIENT)
    _expect_password(process, made)
    assert "hooked" in process.log


def test_defect_is_told(machine: WatchedImage) -> None:
    """An exception that nothing handles is shown, though the image has no source to show."""
    machine.add_program("/lib/mandos/defect", DEFECT)
    process = machine.watch("/lib/mandos/defect")
    assert process.wait() == 1
    assert "Traceback (most recent call last)" in process.log
    assert "mandos.errors.MachineError: a defect: ü" in process.log
