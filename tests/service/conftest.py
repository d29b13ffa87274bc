# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and keys for the service tests, made once for each test process and ended with it."""

from __future__ import annotations

import functools
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_avahi, start_system_bus
from harness.families import ours, reference
from harness.host import Host, Link, why_impossible
from harness.initramfs import ImageMaker, why_no_images
from harness.keys import make_credentials
from harness.vm.boot import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.families import Family
    from harness.keys import Credentials

#: What the hosts run beside the two families.
TOOLS = ("dbus-daemon", "avahi-daemon", "certtool", "gpg")
#: Every kind of byte that a program could trip over.
PASSWORD = b"correct horse\x00battery \xff\nstaple"


@pytest.fixture(scope="session")
def _possible() -> None:
    if (reason := why_impossible()) is not None:
        pytest.skip(reason)
    missing = [name for name in TOOLS if shutil.which(name) is None] + reference().missing()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (tools/test-setup does it when root)")


@pytest.fixture(scope="session")
def workshop(_possible: None) -> Iterator[Host]:
    """A host without a network where keys are made; gpg-agents end with it."""
    with Host("workshop") as host:
        yield host


@pytest.fixture(scope="session")
def keys_of(workshop: Host) -> Callable[[Family], Credentials]:
    """A function: the client that this family's mandos-keygen made."""

    @functools.cache
    def keys(family: Family) -> Credentials:
        return make_credentials(workshop, family, "alpha", PASSWORD)

    return keys


def _hosts(*, avahi: bool) -> Iterator[Link]:
    with ExitStack() as stack:
        link = Link(stack.enter_context(Host("server")), stack.enter_context(Host("client")))
        link.server.connect(link.client)
        if avahi:
            start_system_bus(link.server)
            start_avahi(link.server)
        yield link


@pytest.fixture(scope="session")
def link(_possible: None) -> Iterator[Link]:
    """Two hosts; the server's has a system bus and Avahi, which the reference needs."""
    yield from _hosts(avahi=True)


@pytest.fixture(scope="session")
def bare_link(_possible: None) -> Iterator[Link]:
    """Two hosts with neither D-Bus nor Avahi."""
    yield from _hosts(avahi=False)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test has begun."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def keys(keys_of: Callable[[Family], Credentials]) -> Credentials:
    """A client's keys."""
    return keys_of(ours())


@pytest.fixture
def client(_possible: None, stack: ExitStack) -> Host:
    """The client's host, which has no interface yet."""
    return stack.enter_context(Host("client"))


@pytest.fixture
def site(_possible: None, stack: ExitStack) -> Site:
    """A switch and what is plugged into it."""
    return Site(stack)


@pytest.fixture(scope="session")
def image_maker(_possible: None, keys_of: Callable[[Family], Credentials]) -> Iterator[ImageMaker]:
    """A host where our client side is installed, with keys, and which can make images."""
    if (reason := why_no_images()) is not None:
        pytest.skip(reason)
    with ImageMaker() as maker:
        maker.install()
        maker.give_keys(keys_of(ours()))
        yield maker


@pytest.fixture(scope="session")
def image_tree(image_maker: ImageMaker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An image, unpacked where every host sees it; not to be changed."""
    image_maker.make("plain")
    tree = tmp_path_factory.mktemp("image") / "tree"
    subprocess.run(["cp", "-a", image_maker.unpack("plain"), tree], check=True)
    yield tree
    shutil.rmtree(tree)
