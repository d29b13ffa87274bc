# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that the real mkinitramfs makes with our hook: what is in them, and what they weigh."""

from __future__ import annotations

import base64
import stat
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.early_boot import EarlyBoot
from harness.families import ours
from harness.initramfs import VERSION, ImageMaker
from harness.keys import FILES
from harness.recorded_gnupg import KEYS, MESSAGES, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.families import Family
    from harness.keys import Credentials

pytestmark = pytest.mark.peer

GROWTH_LIMIT = 10_000_000
#: A quarter of a megabyte of modules that one careless import would bring along.
DEAR_MODULES = {"argparse", "collections", "enum", "random", "re", "shutil", "subprocess", "typing"}
NOBODY = 65534
BUILDER = "/usr/lib/x86_64-linux-gnu/mandos/mandos-image"
PYTHON = ("chroot", "/run/root", "/usr/bin/python3", "-IS", "-c")
IMPORT_ALL = """
import sys, os
top = "/usr/lib/mandos/python"
sys.path.insert(0, top)
count = 0
for folder, _, files in os.walk(top):
    for file in files:
        if file.endswith(".pyc"):
            name = os.path.join(folder, file[:-4])[len(top) + 1:].replace("/", ".")
            __import__(name.removesuffix(".__init__"))
            count += 1
print(count)
"""
#: A network hook that needs two kernel modules that there are, and one that there is not.
MODULES_HOOK = """#!/bin/sh
[ "$1" != modules ] || printf '%s\\n' tun nowhere 'bonding max_bonds=0'
"""
OPEN = """
import sys
sys.path.insert(0, "/usr/lib/mandos/python")
from mandos.openpgp import opening
key = open("/conf/conf.d/mandos/seckey.txt", "rb").read()
sys.stdout.buffer.write(opening.open_secret(open("/secret", "rb").read(), key))
"""


def test_image_is_for_root_and_keys_are_for_the_client(
    image_maker: ImageMaker, image_tree: Path
) -> None:
    """Others can read neither the image nor, in it, the keys; only the plugins' user can."""
    assert stat.S_IMODE(image_maker.file("/run/plain").stat().st_mode) & 0o007 == 0
    folder = image_tree / "conf/conf.d/mandos"
    assert set(FILES) <= {path.name for path in folder.iterdir()}
    for path in (folder, *folder.iterdir()):
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o077) == (NOBODY, NOBODY, 0)


def test_nothing_is_there_twice_or_in_vain(image_tree: Path) -> None:
    """No source, no tests, no library in two places, none of Python's modules but a few."""
    files = [path for path in image_tree.rglob("*") if path.is_file() and not path.is_symlink()]
    names = Counter(path.name for path in files if ".so" in path.name)
    assert [name for name, count in names.items() if count > 1] == []
    python = [
        path for path in files if {"python", "python3.11"} & set(path.relative_to(image_tree).parts)
    ]
    assert len(python) > 30
    assert [path for path in python if path.suffix == ".py" or "test" in str(path.name)] == []
    (library,) = (path.parent for path in python if path.name == "os.pyc")
    assert {path.stem for path in library.iterdir()} & DEAR_MODULES == set()


def test_programs_run_from_the_image_alone(image_tree: Path) -> None:
    """Every program starts, and every module of ours can be imported."""
    with EarlyBoot(image_tree) as boot:
        for name in (
            "plugin-runner",
            "password-agent",
            "mandos-handover",
            "plugins.d/mandos-client",
        ):
            said = boot.run("chroot", "/run/root", f"/lib/mandos/{name}", "--version").decode()
            assert said.startswith(name.rpartition("/")[2])
        assert int(boot.run(*PYTHON, IMPORT_ALL)) > 30


def test_secret_is_opened_in_the_image(
    image_tree: Path, keys_of: Callable[[Family], Credentials]
) -> None:
    """The OpenPGP library works there, in the child that opens a secret; and libcrypto."""
    credentials = keys_of(ours())
    sealed = base64.b64decode("".join(credentials.section.partition("secret =")[2].split()))
    with EarlyBoot(image_tree) as boot:
        boot.file("/secret").write_bytes(sealed)
        assert boot.run(*PYTHON, OPEN) == credentials.password
        for kind in ("rsa", "cv25519", "elgamal"):  # which libcrypto opens, with GnuPG's OCB
            boot.file("/secret").write_bytes(MESSAGES[kind])
            boot.file("/conf/conf.d/mandos/seckey.txt").write_bytes(KEYS[kind])
            assert boot.run(*PYTHON, OPEN) == PASSWORD


def test_what_the_administrator_adds(image_maker: ImageMaker) -> None:
    """A plugin of the same name wins; hooks name files and modules; --userid owns the keys."""
    config, tree = image_maker.file("/run/mandos"), image_maker.file("/run/added")
    for folder in (config / "plugins.d", config / "network-hooks.d", tree):
        folder.mkdir(parents=True)
    scripts = {
        "plugins.d/mandos-client": "#!/bin/sh\necho mine\n",
        "network-hooks.d/vlan": "#!/bin/sh\n"
        '[ "$1" = "$MODE" ] && [ "$DEVICE" = eth5 ] && [ "$VERBOSITY" = 0 ] || exit 1\n'
        "case $1 in files) echo /usr/bin/env ;; modules) echo 8021q ;; esac\n",
        "network-hooks.d/broken": "#!/bin/sh\nexit 3\n",
        "network-hooks.d/bad name": "#!/bin/sh\n",
    }
    for name, text in scripts.items():
        (config / name).write_text(text, encoding="ascii")
        (config / name).chmod(0o755)
    (config / "plugin-runner.conf").write_text("--userid=1234 # somebody\n", encoding="ascii")
    process = image_maker.start(
        BUILDER, "--into", "/run/added", "--config", "/run/mandos", "--device", "eth5"
    )
    assert process.wait() == 0, process.log
    assert process.stdout == b"8021q\n"
    assert "network-hooks.d/broken" in process.log
    assert "bad name: left out" in process.log
    assert (tree / "usr/lib/mandos/plugins.d/mandos-client").read_bytes().endswith(b"mine\n")
    assert (tree / "usr/bin/env").exists()
    assert not (tree / "usr/lib/mandos/network-hooks.d/bad name").exists()
    assert (tree / "conf/conf.d/mandos/seckey.txt").stat().st_uid == 1234


def test_modules_of_network_hooks_are_loaded(image_maker: ImageMaker) -> None:
    """What a hook needs is loaded at boot; where the kernel has no such module, a warning says so.

    The kernel has two modules, compiled in: which the image needs no files for.
    """
    hook = image_maker.file("/etc/mandos/network-hooks.d/tunnel")
    hook.write_text(MODULES_HOOK, encoding="ascii")
    hook.chmod(0o755)
    builtin = image_maker.file(f"/usr/lib/modules/{VERSION}/modules.builtin")
    builtin.write_text("kernel/drivers/net/tun.ko\nkernel/bonding.ko\n", encoding="ascii")
    image_maker.run("depmod", VERSION)
    try:
        process = image_maker.start("mkinitramfs", "-o", "/run/hooked", VERSION)
        assert process.wait() == 0, process.log
    finally:
        hook.unlink()
    assert f"needs the module nowhere, which Linux {VERSION} does not have" in process.log
    loaded = image_maker.unpack("hooked") / "conf/modules"
    assert loaded.read_text(encoding="ascii").splitlines()[:2] == ["tun", "bonding max_bonds=0"]
    assert "nowhere" not in loaded.read_text(encoding="ascii")


def test_same_tree_each_time(image_maker: ImageMaker) -> None:
    """Byte code and all else are the same, however often a tree is made."""
    for name in ("one", "two"):
        image_maker.file(f"/run/{name}").mkdir()
        image_maker.run(BUILDER, "--into", f"/run/{name}")
    image_maker.run("diff", "--recursive", "--no-dereference", "/run/one", "/run/two")


def test_without_keys_there_is_still_an_image() -> None:
    """The hook warns and the image asks at the console: no kernel update fails for our sake."""
    with ImageMaker() as maker:
        maker.install()
        process = maker.start("mkinitramfs", "-o", "/run/image", "6.1.0-test")
        assert process.wait() == 0
        assert "mandos-keygen makes the client's keys" in process.log
        assert "it will ask for passwords at the console" in process.log


def test_growth(
    image_maker: ImageMaker,
    keys_of: Callable[[Family], Credentials],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What we add to an image stays below the bar; printed beside what the reference adds."""
    with ImageMaker() as bare, ImageMaker(reference=True) as other:
        other.give_keys(keys_of(ours()))
        nothing = bare.make("size").stat().st_size
        growth = {
            "ours": image_maker.make("size").stat().st_size - nothing,
            "reference": other.make("size").stat().st_size - nothing,
        }
    with capsys.disabled():
        for name, size in growth.items():
            print(f"\ninitramfs growth, {name}: {size / 1e6:.2f} MB")  # noqa: T201
    assert growth["reference"] > 1_000_000  # it really was in there
    assert 1_000_000 < growth["ours"] <= GROWTH_LIMIT
