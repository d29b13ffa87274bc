# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose clock is wrong, by a dead battery for example, gets its password all the same.

The image's own client runs with a clock of 1970, at which its keys and its message are from the
future, and with one of 2090, at which they are old, or have expired.  So mandos-check need not look
at the clock.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.early_boot import EarlyBoot
from harness.families import ours
from harness.keys import FILES, SMALL_RSA, make_credentials, seal_with_gnupg
from harness.peers import PORT, start_server
from harness.vm.boot import Site

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.host import Host
    from harness.keys import Credentials

pytestmark = pytest.mark.peer

CLIENT = "/lib/mandos/plugins.d/mandos-client"
#: libfaketime gives programs another clock, and leaves the monotonic one alone.
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
ENVIRONMENT = {
    "PATH": "/bin:/sbin:/usr/bin:/usr/sbin",
    "LD_PRELOAD": "/faketime.so",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
#: The seconds of a clock that begins when its battery is dead, and of 2090-01-01.
CLOCKS = {"1970": 10, "2090": 3786912000}
KEYS = {
    "default": (),
    "rsa": SMALL_RSA,
    "expired": (*SMALL_RSA, "--expire", "1d"),
}


@pytest.fixture
def image(image_tree: Path, stack: ExitStack) -> EarlyBoot:
    """A host whose programs run in an image, with libfaketime."""
    if not LIBRARY.exists():
        pytest.skip("libfaketime is not installed (tools/test-setup installs it when root)")
    image = stack.enter_context(EarlyBoot(image_tree))
    shutil.copy2(LIBRARY, image.file("/faketime.so"))
    return image


@pytest.fixture
def server_host(image: EarlyBoot, stack: ExitStack) -> Host:
    """A host on the image's link."""
    site = Site(stack)
    site.cable(image)
    return site.host()


def _password(image: EarlyBoot, host: Host, keys: Credentials, clock: str, *options: str) -> bytes:
    """Let the image's client fetch the password while its clock shows this time."""
    environment = ENVIRONMENT | {"FAKETIME": f"@{CLOCKS[clock]}", "FAKETIME_FMT": "%s"}
    start = ("chroot", image.root)
    year = "import time; print(time.gmtime().tm_year)"
    shown = image.run(*start, "/usr/bin/python3", "-IS", "-c", year, environment=environment)
    assert shown.decode().strip() == clock
    for name in FILES:
        made = keys.maker.path(f"{keys.directory}/{name}")
        shutil.copy2(made, image.file(f"/conf/conf.d/mandos/{name}"))
    with start_server(host, ours(), keys.section):
        where = f"--connect=[{host.link_local()}%eth0]:{PORT}"
        client = image.start(*start, CLIENT, where, *options, environment=environment)
        assert client.wait() == 0, client.report("no password")
        return client.stdout


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("kind", KEYS)
def test_signed_password(
    image: EarlyBoot, server_host: Host, workshop: Host, kind: str, clock: str
) -> None:
    """The signature of mandos-keygen counts, and so do keys of any age."""
    keys = make_credentials(workshop, ours(), f"clock-{kind}", b"signed", KEYS[kind])
    assert _password(image, server_host, keys, clock, "--signed-only") == b"signed"


@pytest.mark.parametrize("clock", CLOCKS)
def test_unsigned_password(image: EarlyBoot, server_host: Host, workshop: Host, clock: str) -> None:
    """A message of gpg alone is opened."""
    keys = make_credentials(workshop, ours(), "clock-rsa", b"signed", SMALL_RSA)
    keys = keys.with_secret(seal_with_gnupg(keys, b"by gpg"))
    assert _password(image, server_host, keys, clock) == b"by gpg"
