# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that the real mkinitramfs makes with our hook: what is in them, and what they weigh."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.initramfs import ImageMaker, why_no_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.families import Family
    from harness.keys import Credentials

pytestmark = pytest.mark.peer

#: The design's bar, and how far the reference and we are below it is printed.
GROWTH_LIMIT = 10_000_000
NOBODY = 65534


@pytest.fixture(scope="module")
def _images_possible(_possible: None) -> None:
    if (reason := why_no_images()) is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def maker(_images_possible: None, keys_of: Callable[[Family], Credentials]) -> Iterator[ImageMaker]:
    """A host where our client side is installed, with keys."""
    with ImageMaker() as maker:
        maker.install()
        maker.give_keys(keys_of(ours()))
        yield maker


@pytest.fixture(scope="module")
def tree(maker: ImageMaker) -> Path:
    """An unpacked image."""
    image = maker.make("plain")
    assert stat.S_IMODE(image.stat().st_mode) & 0o007 == 0
    return maker.unpack("plain")


def test_keys_are_for_the_client_alone(tree: Path) -> None:
    """The keys belong to the user that plugins run as, and nobody else can read them."""
    folder = tree / "conf/conf.d/mandos"
    files = {path.name: path.stat() for path in (folder, *folder.iterdir())}
    assert {"seckey.txt", "tls-privkey.pem", "mandos"} <= set(files)
    for status in files.values():
        assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
        assert status.st_mode & 0o077 == 0
