# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand-over beside a boot screen: real plymouthd and real askpass, in a real image.

A question that the hand-over has answered does not stay on the screen in front of the next one.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.boot_screen import BootScreen
from harness.early_boot import EarlyBoot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.early_boot import Prompt
    from harness.initramfs import ImageMaker

pytestmark = pytest.mark.peer

GAVE = "gave the password to the prompt for"


@pytest.fixture(scope="module")
def splash_tree(image_maker: ImageMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with plymouth, unpacked where every host sees it."""
    if missing := [name for name in ("plymouthd", "script") if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (tools/test-setup does it when root)")
    wanted = image_maker.file("/etc/initramfs-tools/conf.d/splash")
    wanted.write_text("FRAMEBUFFER=y\n", encoding="ascii")
    image_maker.make("splash")
    wanted.unlink()
    tree = tmp_path_factory.mktemp("splash") / "tree"
    subprocess.run(["cp", "-a", image_maker.unpack("splash"), tree], check=True)
    return tree


@pytest.fixture
def boot(splash_tree: Path) -> Iterator[EarlyBoot]:
    """An image at work, whose plugin prints what the file /password holds."""
    with EarlyBoot(splash_tree) as boot:
        boot.use_plugin("cat /password")
        yield boot


@pytest.fixture
def screen(boot: EarlyBoot) -> Iterator[BootScreen]:
    """Its boot screen."""
    with BootScreen(boot, boot.root) as shown:
        yield shown


def _typed(screen: BootScreen, prompt: Prompt, disk: str) -> bytes:
    """Type one line when the screen asks for the disk; what the prompt got."""
    screen.wait_for(f"unlock disk {disk}")
    screen.type(b"typed\n")
    return prompt.answer()


def test_one_line_typed_is_enough_after_a_wrong_secret(boot: EarlyBoot, screen: BootScreen) -> None:
    """The server's password is wrong: the right one is typed once, for the question that waits."""
    first = boot.ask("cryptroot")
    screen.wait_for("unlock disk cryptroot")
    boot.file("/password").write_text("wrong", encoding="ascii")
    boot.boot_script("init-premount")
    assert first.answer() == b"wrong"
    screen.pass_over()
    assert _typed(screen, boot.ask("cryptroot"), "cryptroot") == b"typed"


def test_screen_asks_for_the_disk_that_waits(boot: EarlyBoot, screen: BootScreen) -> None:
    """After the first of two disks the screen asks for the second, which takes the first line."""
    first = boot.ask("cryptroot")
    screen.wait_for("unlock disk cryptroot")
    boot.file("/password").write_text("of the first disk", encoding="ascii")
    job = boot.boot_script("init-premount")
    assert first.answer() == b"of the first disk"
    job.wait_for(f"{GAVE} cryptroot")
    second = boot.ask("cryptdata")
    assert second.answer() == b"of the first disk"
    screen.pass_over()  # the question of the second prompt, if the screen was quick enough
    assert _typed(screen, boot.ask("cryptdata"), "cryptdata") == b"typed"


def test_screen_without_a_question_is_left_alone(boot: EarlyBoot, screen: BootScreen) -> None:
    """A prompt that has asked at the console only costs nobody the boot screen."""
    with screen.without_client():
        prompt = boot.ask("cryptroot")
        boot.file("/password").write_text("right", encoding="ascii")
        boot.boot_script("init-premount")
        assert prompt.answer() == b"right"
    assert screen.daemon.running


def test_daemon_that_does_not_come_back_holds_up_nobody(
    boot: EarlyBoot, screen: BootScreen
) -> None:
    """Whatever becomes of the screen, the prompt gets its password."""
    first = boot.ask("cryptroot")
    screen.wait_for("unlock disk cryptroot")
    boot.file("/usr/sbin/plymouthd").unlink()
    boot.file("/password").write_text("right", encoding="ascii")
    job = boot.boot_script("init-premount")
    assert first.answer() == b"right"
    job.wait_for("cannot restart plymouthd: ")
