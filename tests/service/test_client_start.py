# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole boot's run of the client imports, in all of its processes.

The house rules look at what the start imports; here nothing that is imported on the way slips by:
interface, hook, search, handshake and opening are all gone through.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from harness.boot import PLACE, install_boot_programs
from harness.families import ours
from harness.host import Host
from harness.peers import client_command, start_server
from mandos.boot.image.launcher import launcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from harness.families import Family
    from harness.keys import Credentials
    from harness.vm.boot import Site

    Keys = Callable[[Family], Credentials]

pytestmark = pytest.mark.peer

#: Beside our own rooms and what every interpreter has loaded before it runs anything: each of
#: these costs little, and there is no doing without.
ALLOWED = {
    "__future__", "_ctypes", "_socket", "_struct", "ctypes", "errno", "fcntl", "mandos", "openpgp",
    "resource", "select", "struct", "types", "warnings",
}  # fmt: skip
#: Runs the client; refuses other modules, and tells of them where every user and process can.
GUARD = """
import os, sys, time

ALLOWED = {allowed}

class Guard:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ALLOWED:
            return None
        tell(f"refused {{name}}")
        raise RuntimeError(f"early boot does not import {{name}}")

def tell(line):
    out = os.open("/run/guard/told", os.O_WRONLY | os.O_APPEND)
    os.write(out, (line + "\\n").encode())
    os.close(out)

def main():
    began, before = time.monotonic(), len(sys.modules)
    sys.meta_path.insert(0, Guard)
    from mandos.client.main import main
    imported, start = time.monotonic(), len(sys.modules)
    status = main()
    tell(f"times {{began}} {{imported}} {{time.monotonic()}}")
    tell(f"modules {{before}} {{start}} {{len(sys.modules)}}")
    return status
"""


def _install(client: Host, name: str) -> str:
    """Put a guarded client on a host; returns the path of its start script."""
    install_boot_programs(client)
    client.path("/run/guard").mkdir(0o755)
    client.path("/run/guard/told").touch()
    client.path("/run/guard/told").chmod(0o666)
    text = GUARD.format(allowed=ALLOWED)
    client.path(f"/run/guard/{name}.py").write_text(text, encoding="ascii")
    script = client.path("/run/guard/mandos-client")
    script.write_text(launcher(name, ["/run/guard", f"{PLACE}/python"]), encoding="ascii")
    script.chmod(0o755)
    return "/run/guard/mandos-client"


def _told(client: Host) -> dict[str, list[float]]:
    """What the guard has told; nothing was refused."""
    lines = client.path("/run/guard/told").read_text(encoding="ascii").splitlines()
    assert [line for line in lines if line.startswith("refused")] == []
    pairs = (line.split() for line in lines)
    return {name: [float(value) for value in values] for name, *values in pairs}


def test_a_whole_run_imports_little(
    site: Site,
    stack: ExitStack,
    keys_of: Keys,
    record_property: Callable[[str, object], None],
) -> None:
    """Neither the client nor its other processes import anything but what early boot can pay for.

    How many modules there were, and how long the start took, is shown after the tests.
    """
    client, keys = stack.enter_context(Host("client")), keys_of(ours())
    site.cable(client)
    stack.enter_context(start_server(site.host(), ours(), keys.section, zeroconf=True))
    client.path("/run/hooks.d").mkdir(0o755)
    hook = client.path("/run/hooks.d/hook")
    hook.write_text("#!/bin/sh\n", encoding="ascii")
    hook.chmod(0o755)
    script = _install(client, "guarded_client")
    options = client_command(client, ours(), keys, interface=None)[1:]
    started = time.monotonic()
    with client.start(script, *options, "--network-hook-dir=/run/hooks.d") as running:
        assert running.wait() == 0, running.report("no password")
    assert running.stdout == keys.password
    told = _told(client)
    before, at_start, at_end = told["modules"]
    assert before < at_start < at_end
    for name, number in (("first", before), ("start", at_start), ("end", at_end)):
        record_property(f"modules at {name}", round(number))
    for name, moment in zip(("Python", "all imported", "end"), told["times"], strict=True):
        record_property(f"milliseconds to {name}", round((moment - started) * 1000, 1))
