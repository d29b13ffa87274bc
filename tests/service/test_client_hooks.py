# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network hooks, run by real clients: the manual page mandos-client(8mandos), "NETWORK HOOKS"."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from harness.families import ours, reference
from harness.host import Host
from harness.network import watch_links
from harness.peers import PORT, fetch, start_client, start_server
from harness.vm.vlan import VLAN, allow_taps

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.families import Family
    from harness.keys import Credentials
    from harness.vm.boot import Site

pytestmark = pytest.mark.peer

OURS, THEIRS = ours(), reference()
FAMILIES = [pytest.param(OURS, id="our_client"), pytest.param(THEIRS, id="their_client")]
HOOKS, TOLD = "/run/hooks.d", "/run/told"
#: The variables that the manual page names.
VARIABLES = ("MANDOSNETHOOKDIR", "DEVICE", "MODE", "VERBOSITY", "DELAY", "CONNECT")
#: Tells its name, its arguments and what it finds in its environment.
TELL = f"""#!/bin/sh
{{
    echo "${{0##*/}} $*"
    for name in {" ".join(VARIABLES)}; do
        eval "echo $name=\\${{$name-unset}}"
    done
}} >>{TOLD}
"""
#: Tells who and where it is, and what it could get at.
TELL_MORE = f"""#!/usr/bin/python3 -IS
import os, sys
print(*os.getresuid(), *os.getresgid(), *os.getgroups(), os.getcwd(), repr(sys.stdin.read()),
      sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
      file=open("{TOLD}", "a"))
print("said on standard output")
print("said on standard error", file=sys.stderr)
"""
OPTIONS = ("--network-hook-dir", HOOKS)


@pytest.fixture
def client(site: Site, stack: ExitStack) -> Host:
    """The client's host, plugged in but not up, and an empty folder for hooks."""
    host = stack.enter_context(Host("client"))
    site.cable(host)
    host.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
    host.path(HOOKS).mkdir(0o755)
    return host


@pytest.fixture
def served(site: Site, stack: ExitStack, keys: Credentials) -> str:
    """What leads to a server on the switch."""
    host = site.host()
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    stack.enter_context(start_server(host, OURS, keys.section))
    return f"192.0.2.1:{PORT}"


def _hook(host: Host, name: str, text: str = TELL, mode: int = 0o755) -> None:
    path = host.path(f"{HOOKS}/{name}")
    path.write_text(text, encoding="ascii")
    path.chmod(mode)


def _told(host: Host) -> list[str]:
    path = host.path(TOLD)
    return path.read_text(encoding="ascii").splitlines() if path.exists() else []


def _ran(host: Host) -> list[str]:
    """Names and arguments of the hooks that ran, in order."""
    return [line for line in _told(host) if "=" not in line]


#: Options beside --connect, and what a hook is to find of them.
SEEN = {
    "plain": (("--interface=eth0",), {"DEVICE": "eth0", "VERBOSITY": "0", "DELAY": 2.5}),
    "debug": (("-i", "eth0", "--debug"), {"DEVICE": "eth0", "VERBOSITY": "1", "DELAY": 2.5}),
    "delay": (("-i", "eth0", "--delay=7"), {"DEVICE": "eth0", "VERBOSITY": "0", "DELAY": 7.0}),
    "several": (
        ("--interface=eth0,eth1", "--interface=br0"),
        {"DEVICE": "eth0,eth1,br0", "VERBOSITY": "0", "DELAY": 2.5},
    ),
}


def _variables(told: list[str], mode: str) -> dict[str, str | float]:
    """What a hook has told that it found in its environment, in this mode."""
    variables = [line.split("=", 1) for line in told if "=" in line]
    blocks = [dict(variables[start:][:6]) for start in range(0, len(variables), 6)]
    (found,) = [block for block in blocks if block["MODE"] == mode]
    return {**found, "DELAY": float(found["DELAY"])}


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("family", FAMILIES)
def test_hook_is_told_what_the_manual_page_says(
    site: Site, client: Host, served: str, keys: Credentials, family: Family, seen: str
) -> None:
    """Both families run it with MODE=start and then MODE=stop, and tell it the same otherwise.

    But for CONNECT, of which the reference's stop has the address without the port.
    """
    _hook(client, "hook")
    site.cable(client, "eth1")
    client.run("ip", "link", "add", "br0", "type", "bridge")
    options, variables = SEEN[seen]
    command = (*OPTIONS, *options)
    got = fetch(client, family, keys, connect=served, interface=None, options=command)
    assert got.endswith(keys.password)
    for mode in ("start", "stop"):
        found = _variables(_told(client), mode)
        connect = str(found.pop("CONNECT"))
        assert found == {"MANDOSNETHOOKDIR": HOOKS, "MODE": mode, **variables}
        assert served.startswith(connect)
        assert connect == served or (family is THEIRS and mode == "stop")


def test_connect_is_not_there_when_servers_are_searched(
    client: Host, site: Site, stack: ExitStack, keys: Credentials
) -> None:
    """CONNECT is for --connect only; without --interface DEVICE is empty, but there."""
    stack.enter_context(start_server(site.host(), OURS, keys.section, zeroconf=True))
    _hook(client, "hook")
    assert fetch(client, OURS, keys, interface=None, options=OPTIONS) == keys.password
    for mode in ("start", "stop"):
        found = _variables(_told(client), mode)
        assert (found["CONNECT"], found["DEVICE"]) == ("unset", "")


def test_hooks_run_in_the_order_of_their_names(
    client: Host, served: str, keys: Credentials
) -> None:
    """All get the argument "start", and before the end "stop"; what is no hook is skipped."""
    for name in ("b_2", "A.1", "a-1", "10", "9"):
        _hook(client, name)
    _hook(client, "not executable".replace(" ", "-"), mode=0o644)
    for name in ("backup~", "with space", "a+b", "name@host"):
        _hook(client, name)
    client.path(f"{HOOKS}/folder").mkdir(0o755)
    client.path(f"{HOOKS}/dangling").symlink_to("nowhere")
    assert fetch(client, OURS, keys, connect=served, options=OPTIONS) == keys.password
    expected = ["10", "9", "A.1", "a-1", "b_2"]
    assert _ran(client) == [f"{name} {mode}" for mode in ("start", "stop") for name in expected]


@pytest.mark.parametrize("mode", [0o775, 0o757], ids=["group", "others"])
def test_hook_that_others_can_change_is_refused(
    client: Host, served: str, keys: Credentials, mode: int
) -> None:
    """It would run as root; that it does not is said, with the remedy, and the others run."""
    _hook(client, "1-safe")
    _hook(client, "2-unsafe", mode=mode)
    with start_client(client, OURS, keys, connect=served, options=OPTIONS) as running:
        assert running.wait() == 0, running.report("no password")
    assert _ran(client) == ["1-safe start", "1-safe stop"]
    assert f"the network hook {HOOKS}/2-unsafe is not run" in running.log
    assert "chmod go-w" in running.log


def test_hook_of_another_user_is_refused(client: Host, served: str, keys: Credentials) -> None:
    """Whoever owns a file can change it."""
    _hook(client, "hook")
    os.chown(client.path(f"{HOOKS}/hook"), 65534, 65534)
    with start_client(client, OURS, keys, connect=served, options=OPTIONS) as running:
        assert running.wait() == 0, running.report("no password")
    assert _ran(client) == []
    assert "belongs to another user" in running.log


def test_folder_that_others_can_change_is_refused_whole(
    client: Host, served: str, keys: Credentials
) -> None:
    """Whoever may put a file there could put a hook of his own."""
    _hook(client, "hook")
    client.path(HOOKS).chmod(0o777)
    with start_client(client, OURS, keys, connect=served, options=OPTIONS) as running:
        assert running.wait() == 0, running.report("no password")
    assert _ran(client) == []
    assert f"no network hooks: {HOOKS} can be changed by other users" in running.log


def test_hook_that_fails_is_told_and_the_rest_goes_on(
    client: Host, served: str, keys: Credentials
) -> None:
    """A hook that fails, dies or is no program costs a line each."""
    _hook(client, "1-fails", "#!/bin/sh\nexit 3\n")
    _hook(client, "2-dies", "#!/bin/sh\nkill -9 $$\n")
    _hook(client, "3-is-none", "#!/no/such/interpreter\n")
    _hook(client, "4-works")
    with start_client(client, OURS, keys, connect=served, options=OPTIONS) as running:
        assert running.wait() == 0, running.report("no password")
    assert _ran(client) == ["4-works start", "4-works stop"]
    for mode in ("start", "stop"):
        assert f"{HOOKS}/1-fails {mode} failed with status 3" in running.log
        assert f"{HOOKS}/2-dies {mode} failed with status -9" in running.log
        assert f"cannot run {HOOKS}/3-is-none {mode}: No such file" in running.log


def test_hook_is_root_and_its_output_is_no_password(
    client: Host, served: str, keys: Credentials
) -> None:
    """Root altogether, without input, in the root folder, with no descriptors of the client's.

    What it prints is for a person, so it goes to standard error.
    """
    _hook(client, "hook", TELL_MORE)
    with start_client(client, OURS, keys, connect=served, options=OPTIONS) as running:
        assert running.wait() == 0, running.report("no password")
    assert running.stdout == keys.password
    assert _told(client) == 2 * ["0 0 0 0 0 0 / '' [0, 1, 2]"]
    assert running.lines.count("said on standard output") == 2
    assert running.lines.count("said on standard error") == 2


def test_network_is_used_after_the_hooks(client: Host, served: str, keys: Credentials) -> None:
    """Nobody is asked, and no interface is touched, before the last hook is through."""
    client.run("mkfifo", "/run/gate")
    _hook(client, "hook", "#!/bin/sh\n[ $1 = stop ] || { echo waiting; read go </run/gate; }\n")
    options = (*OPTIONS, "--debug")
    with start_client(client, OURS, keys, connect=served, options=options) as running:
        running.wait_for("^waiting$")
        assert not client.is_up("eth0")
        assert "asking" not in running.log
        client.run("sh", "-c", "echo go >/run/gate")
        assert running.wait() == 0, running.report("no password")
    assert running.stdout == keys.password


def test_hook_that_waits_does_not_hold_up_the_end(client: Host, keys: Credentials) -> None:
    """A client that is told to end ends the hook that runs, begins no other, and calls "stop".

    All that the hook has started ends with it, and the network is not touched any more.
    """
    links = watch_links(client)
    client.run("mkfifo", "/run/life")
    waits = "[ $1 = stop ] || { sleep 1000 >/run/life & echo begun; wait; }"
    _hook(client, "1-waits", f"#!/bin/sh\n{waits}\n")
    _hook(client, "2-next")
    reader = client.start("sh", "-c", "exec 3</run/life; echo open; cat <&3; echo closed")
    with start_client(client, OURS, keys, options=OPTIONS) as running:
        running.wait_for("^begun$")
        reader.wait_for("^open$")
        assert running.terminate() == 128 + signal.SIGTERM
    reader.wait_for("^closed$")
    assert f"the network hook {HOOKS}/1-waits start was ended: the client is ending" in running.log
    assert _ran(client) == ["2-next stop"]
    client.run("ip", "link", "add", "marker", "type", "bridge")
    links.wait_for("marker")
    assert "eth0:up" not in links.log


def test_server_behind_an_interface_that_a_hook_makes(
    site: Site, client: Host, stack: ExitStack, keys: Credentials
) -> None:
    """A VLAN that exists only while the client runs is enough, its card being down before."""
    stack.enter_context(start_server(site.host(vlan=7), OURS, keys.section, zeroconf=True))
    allow_taps(client)
    client.path("/run/vlan.py").write_text(VLAN, encoding="ascii")
    _hook(
        client,
        "vlan",
        """#!/bin/sh -e
if [ "$MODE" = start ]; then
    ip link set eth0 up
    /usr/bin/python3 -I /run/vlan.py eth0 7 lan7 >/run/joined 2>&1 &
    echo $! >/run/vlan.pid
    until grep -q joined /run/joined; do :; done
else
    kill $(cat /run/vlan.pid)
    ip link set eth0 down
fi
""",
    )
    assert fetch(client, OURS, keys, interface="lan7", options=OPTIONS) == keys.password
    assert not client.is_up("eth0")
