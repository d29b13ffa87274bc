# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of a boot test, its network, and how long each boot took."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.debian import SUITE
from harness.families import reference
from harness.host import Host
from harness.keys import Credentials
from harness.peers import start_server
from harness.reference_server import install_reference
from harness.vm.boot import Site
from harness.vm.images import PASSWORD, image, why_no_vm
from harness.vm.images import disks as make_disks
from mandos.openpgp.sealing import seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.families import Family
    from harness.peers import Server
    from harness.vm.choices import Choice
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]
    Start = Callable[..., Server]


@pytest.fixture(scope="session")
def _possible() -> None:
    if (reason := why_no_vm()) is not None:
        pytest.skip(reason)
    if missing := reference().missing():
        pytest.skip(f"not installed: {', '.join(missing)} (tools/test-setup does it when root)")


@pytest.fixture
def made(
    request: pytest.FixtureRequest, _possible: None, record_property: Callable[[str, object], None]
) -> Image:
    """The initial RAM disk of the machine that the test has chosen (harness.vm.choices)."""
    choice: Choice = request.param
    for name in ("suite", "generator", "client"):
        record_property(name, getattr(choice, name))
    record_property("layout", choice.layout.name)
    return image(choice.generator, choice.client, choice.suite, choice.layout)


@pytest.fixture
def wrong(made: Image) -> Iterator[str]:
    """The client's section with a secret that opens, and does not unlock the disk."""
    with Host("workshop") as workshop:
        shutil.copytree(made.folder / "keys", workshop.path("/run/keys"))
        keys = Credentials(workshop, "/run/keys", "alpha", PASSWORD.encode(), made.section)
        secret_key = workshop.path("/run/keys/seckey.txt").read_bytes()
        yield keys.with_secret(seal(b"of another machine", secret_key)).section


@pytest.fixture
def disks(made: Image) -> Disks:
    """The encrypted disks of the machine."""
    return make_disks(made.suite, made.layout)


@pytest.fixture
def site(
    request: pytest.FixtureRequest, _possible: None, record_property: Callable[[str, object], None]
) -> Iterator[Site]:
    """A network of the test's own, with a router unless the test has another one."""
    network = getattr(request, "param", "router")
    record_property("network", network)
    with ExitStack() as stack:
        yield Site.of(stack, router=network == "router")


@pytest.fixture
def started(record_property: Callable[[str, object], None], stack: ExitStack) -> Start:
    """A function that starts a server of either family, of the release of the machine."""

    def start(host: Host, made: Image, family: Family, section: str = "") -> Server:
        if family is reference() and made.suite != SUITE:
            family = install_reference(host, made.suite)
        version = host.run(family.server, "--version").decode().split()[-1]
        record_property("server", f"{family.name} {version}")
        return stack.enter_context(
            start_server(host, family, section or made.section, zeroconf=True)
        )

    return start


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test has begun."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def took(record_property: Callable[[str, object], None]) -> Took:
    """Record how long a boot took: shown when all tests have ended (tests/conftest.py)."""

    def record(seconds: dict[str, float]) -> None:
        for name, figure in seconds.items():
            record_property(f"seconds to {name}", round(figure, 1))

    return record
