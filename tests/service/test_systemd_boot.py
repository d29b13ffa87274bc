# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check's choice of the next boot, beside those of bootctl and of systemd-boot itself.

Partitions are filled by the real tools: bootctl, kernel-install, ukify, objcopy.
"""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from harness.debian import loader_tree
from harness.efi_files import image, set_numbers, set_option, set_text
from harness.loaders import Firmware, Kernel, in_each, why_no_firmware, why_no_loaders
from mandos.check.findings import Verdict
from mandos.check.loader import boot_loader, boot_partitions, systemd_boot, unified_images
from mandos.check.loader.boot_loader import Loader
from mandos.check.loader.efi_variables import FOLDER, Variables
from mandos.check.loader.kernels import boots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mandos.check.loader.boot_menu import MenuEntry
    from mandos.check.loader.systemd_boot import Menu

pytestmark = [pytest.mark.packages, pytest.mark.timeout(900)]

SUITES = ("bookworm", pytest.param("trixie", marks=pytest.mark.slow))
MENUS = 60
MACHINES = ("", "4098b3f648d74c13b1f04ccfba7798e8", "0098b3f648d74c13b1f04ccfba7798e8")
SORT_KEYS = ("", "debian", "Debian", "debian-2", "arch")
VERSIONS = ("", "6.1.0-9-amd64", "6.1.0-25-amd64", "6.1~rc1", "6.1", "6.12.118+deb13-cloud-amd64",
            "6.1.0-25-amd64-dbg", "6.1^a", "v7", "06.1")  # fmt: skip
STEMS = (
    "debian-6.1.0-9",
    "debian-6.1.0-25",
    "Debian-7",
    "debian-6.1.0",
    "rescue",
    "a+b",
    "x_1",
    "x_01",
    "0",
)
#: The identity of the entry whose title bootctl marks as the default one.
DEFAULT = re.compile(r"^ +title: .*\(default\).*\n +id: (.*)$", re.MULTILINE)
COUNTERS = ("", "", "", "+3", "+0", "+2-1", "+0-3")


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """A release whose tools are used."""
    if (reason := why_no_loaders()) is not None:
        pytest.skip(reason)
    name: str = request.param
    return name


def _menu(root: Path) -> Menu:
    partitions = boot_partitions.find(root)
    assert partitions is not None
    return systemd_boot.read(partitions, Variables(root / FOLDER))


def _entry(esp: Path, name: str, rows: Sequence[str]) -> None:
    folder = esp / "loader" / "entries"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _random_machine(root: Path, seed: int) -> None:
    """A partition with entries of both types, and settings, by chance."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    esp = root / "efi"
    (esp / "EFI" / "Linux").mkdir(parents=True)
    (esp / "kernel").touch()
    for stem in chance.sample(STEMS, chance.randint(1, 5)):
        rows = ["linux /kernel", "options root=/dev/x  quiet", "initrd /one", "initrd two"]
        for key, values in (
            ("machine-id", MACHINES),
            ("sort-key", SORT_KEYS),
            ("version", VERSIONS),
        ):
            if value := chance.choice(values):
                rows.append(f"{key} {value}")
        rows += chance.choice(([], ["options\tmandos=off"], ["# options no"], ["title  A title"]))
        chance.shuffle(rows)
        _entry(esp, f"{stem}{chance.choice(COUNTERS)}.conf", rows)
    for stem in chance.sample(STEMS, chance.randint(0, 3)):
        release = "".join(
            f"{name}={chance.choice(values)}\n"
            for name, values in (
                ("ID", ("debian", "arch", '""')), ("IMAGE_ID", ("", "debian-2")),
                ("VERSION_ID", ("13", "7")), ("VERSION", ('"13 (trixie)"', '""')),
                ("IMAGE_VERSION", ("", "8")), ("BUILD_ID", ("", "5")), ("PRETTY_NAME", ("Debian",)),
            )
            if chance.random() < 0.7 or name == "PRETTY_NAME"
        )  # fmt: skip
        data = image(release=chance.choice(VERSIONS), system=release)
        (esp / "EFI" / "Linux" / f"{stem}{chance.choice(COUNTERS)}.efi").write_bytes(data)
    names = [f"{stem}.conf" for stem in STEMS] + [f"{stem}.efi" for stem in STEMS]
    names += ["debian-*", "*.efi", "DEBIAN-?.conf", "[a-r]*.conf", "nosuch", "rescue"]
    if chance.random() < 0.5:
        settings = f"timeout 3\ndefault {chance.choice(names)}\n"
        (esp / "loader" / "loader.conf").write_text(settings, encoding="utf-8")
    set_text(root, "LoaderInfo", "systemd-boot 257.9")
    for name in ("LoaderEntryDefault", "LoaderEntryOneShot"):
        if chance.random() < 0.3:
            set_text(root, name, chance.choice(names))


def test_menu_and_choice_are_bootctls(suite: str, tmp_path: Path) -> None:
    """Order, default, images and words of menus made by chance are those that bootctl shows."""
    for seed in range(MENUS):
        _random_machine(tmp_path / f"{seed:02}", seed)
    in_each(suite, tmp_path, "bootctl list --json=short >/out/list; bootctl list >/out/text")
    for root in sorted(tmp_path.iterdir()):
        listed = _listed((root / "out" / "list").read_text(encoding="utf-8"))
        menu = _menu(root)
        rows = [_as_bootctl(entry, root / "efi") for entry in menu.entries]
        wanted = [[row["id"], row["options"].split(), row.get("initrd", [])] for row in listed]
        assert rows == wanted, root
        default = DEFAULT.findall((root / "out" / "text").read_text(encoding="utf-8"))
        assert [menu.chosen.identity] == default, root


def _listed(text: str) -> list[dict[str, Any]]:
    """The entries that bootctl prints: before version 253 an object on each line."""
    rows: list[dict[str, Any]] = (
        json.loads(text)
        if text.startswith("[")
        else [json.loads(line) for line in text.splitlines()]
    )
    return rows


def _as_bootctl(entry: MenuEntry, esp: Path) -> list[object]:
    images = [f"/{path.relative_to(esp)}" for path in entry.images if path != entry.kernel]
    return [entry.identity, list(entry.words), images]


def test_entry_that_kernel_install_makes(suite: str, tmp_path: Path) -> None:
    """With the layout "bls": kernel, initial RAM disk, and the words of /etc/kernel/cmdline."""
    root = tmp_path / "machine"
    (root / "efi" / "loader").mkdir(parents=True)
    in_each(suite, tmp_path, """
        mkdir -p /etc/kernel
        echo root=/dev/x quiet mandos=off >/etc/kernel/cmdline
        echo layout=bls >/etc/kernel/install.conf
        echo 4098b3f648d74c13b1f04ccfba7798e8 >/etc/machine-id
        echo kernel >/tmp/vmlinuz; echo disk >/tmp/initrd
        mkdir -p /efi/4098b3f648d74c13b1f04ccfba7798e8
        for version in 6.1.0-9-amd64 6.1.0-25-amd64; do
            mkdir -p /usr/lib/modules/$version
            kernel-install add $version /tmp/vmlinuz /tmp/initrd
        done
    """)  # fmt: skip
    found = boots(root)
    assert found.next is not None, found.findings
    assert [found.next.name, *(boot.name for boot in found.others)] == [
        "6.1.0-25-amd64", "6.1.0-9-amd64",
    ]  # fmt: skip
    assert found.next.kernel.read_bytes() == b"kernel\n"
    assert found.next.image is not None
    assert found.next.image.read_bytes() == b"disk\n"
    assert found.next.words is not None
    assert {"root=/dev/x", "quiet", "mandos=off"} <= set(found.next.words)
    assert [finding.verdict for finding in found.findings] == [Verdict.OK]


UKIFY = """
ukify build --linux=/tmp/linux --initrd=/tmp/initrd --cmdline='root=/dev/x mandos=off' \\
    --uname=6.1.0-9-amd64 --os-release=@/etc/os-release --output=/efi/EFI/Linux/made.efi
ukify build --cmdline='ip=dhcp' --output=/efi/loader/addons/net.addon.efi
"""
OBJCOPY = """
printf 'root=/dev/x mandos=off' >/tmp/words; printf 6.1.0-9-amd64 >/tmp/uname
objcopy --add-section .osrel=/etc/os-release --change-section-vma .osrel=0x20000 \\
    --add-section .cmdline=/tmp/words --change-section-vma .cmdline=0x30000 \\
    --add-section .uname=/tmp/uname --change-section-vma .uname=0x31000 \\
    --add-section .linux=/tmp/linux --change-section-vma .linux=0x2000000 \\
    --add-section .initrd=/tmp/initrd --change-section-vma .initrd=0x3000000 \\
    /usr/lib/systemd/boot/efi/linuxx64.efi.stub /efi/EFI/Linux/made.efi
"""


def test_unified_image_that_real_tools_make(suite: str, tmp_path: Path) -> None:
    """Those of ukify and of objcopy, with real stubs, are read whole; so are ukify's addons."""
    root = tmp_path / "machine"
    (root / "efi").mkdir(parents=True)
    make = OBJCOPY if suite == "bookworm" else UKIFY
    in_each(suite, tmp_path, f"""
        mkdir -p /efi/EFI/Linux /efi/loader/addons
        head -c 70000 /dev/urandom >/tmp/linux
        cd /usr/share/doc && find base-files | cpio --create --format=newc --quiet >/tmp/initrd ||
            tar --create --file=/tmp/initrd base-files
        {make}
        cp /tmp/linux /tmp/initrd /out
    """)  # fmt: skip
    found = boots(root)
    assert found.next is not None, found.findings
    words = ("root=/dev/x", "mandos=off", *(("ip=dhcp",) if suite == "trixie" else ()))
    assert (found.next.name, found.next.words) == ("6.1.0-9-amd64", words)
    made = unified_images.read(root / "efi/EFI/Linux/made.efi")
    assert made is not None
    assert made.initrd() == (root / "out" / "initrd").read_bytes()


def test_programs_that_boot_loaders_install(suite: str, tmp_path: Path) -> None:
    """Debian's systemd-boot, GRUB and shim are known by their files, whatever their names."""
    root = tmp_path / "machine"
    (root / "efi").mkdir(parents=True)
    in_each(suite, tmp_path, """
        bootctl install --no-variables
        mkdir -p /efi/EFI/debian /efi/EFI/other
        cp /usr/lib/shim/shimx64.efi /efi/EFI/debian/
        cp /usr/lib/grub/x86_64-efi/monolithic/grubx64.efi /efi/EFI/debian/
        cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi /efi/EFI/other/vmlinuz.efi
    """)  # fmt: skip
    partitions = boot_partitions.find(root)
    variables = Variables(root / FOLDER)
    expected = {
        r"\EFI\systemd\systemd-bootx64.efi": Loader.SYSTEMD_BOOT,
        r"\EFI\BOOT\BOOTX64.EFI": Loader.SYSTEMD_BOOT,
        r"\EFI\other\vmlinuz.efi": Loader.SYSTEMD_BOOT,
        r"\EFI\debian\shimx64.efi": Loader.GRUB,
        r"\EFI\debian\grubx64.efi": Loader.GRUB,
    }
    set_numbers(root, "BootOrder", 1)
    for path, kind in expected.items():
        set_option(root, 1, path)
        found = boot_loader.next_loader(root, variables, partitions)
        assert found is not None, path
        assert found.kind is kind, path


#: Words for the kernel: to print its first lines, or (QUIET) to leave the console to programs.
EARLY = "earlyprintk=ttyS0 console=ttyS0"
#: The kernel's check of its timer fails on a busy machine that emulates another one.
QUIET = "console=ttyS0 quiet no_timer_check"


class Booted:
    """A machine that systemd-boot really starts; each entry has its own word for the kernel."""

    def __init__(self, root: Path, kernel: Kernel) -> None:
        self.root = root
        self.esp = root / "efi"
        (self.esp / "EFI" / "BOOT").mkdir(parents=True)
        loader = loader_tree("trixie") / "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
        (self.esp / "EFI/BOOT/BOOTX64.EFI").write_bytes(loader.read_bytes())
        (self.esp / "kernel").write_bytes(kernel.image)
        (self.esp / "initrd").write_bytes(kernel.printer())
        self.firmware = Firmware(root)

    def entry(
        self, name: str, *rows: str, program: str = "linux /kernel", console: str = EARLY
    ) -> None:
        """An entry of type #1 with the word entry=NAME."""
        options = f"options {console} entry={name}"
        _entry(self.esp, f"{name}.conf", (program, options, *rows))

    def unified(self, name: str, *options: str, console: str = EARLY) -> None:
        """A unified image, or an addon, made by ukify, with the word image=NAME."""
        words = f"{console} image={name}"
        script = f"ukify build {' '.join(options)} --cmdline='{words}' --output=/efi/{name}"
        (self.root.parent / "roots").mkdir(exist_ok=True)
        link = self.root.parent / "roots" / "machine"
        if not link.exists():
            link.symlink_to(self.root)
        in_each("trixie", link.parent, f"mkdir -p $(dirname /efi/{name}); {script}")

    def settings(self, text: str) -> None:
        """loader.conf."""
        (self.esp / "loader").mkdir(exist_ok=True)
        (self.esp / "loader" / "loader.conf").write_text(text, encoding="ascii")


NEW, OLD = ("version 6.1.0-25",), ("version 6.1.0-9",)
KEY = "sort-key debian"
KERNEL = "--linux=/efi/kernel --os-release='ID=debian'"


def _newest(machine: Booted) -> None:
    machine.entry("old", *OLD, KEY)
    machine.entry("new", *NEW, KEY)


def _first_key(machine: Booted) -> None:
    machine.entry("a", "sort-key b", *NEW)
    machine.entry("b", "sort-key B", *OLD)
    machine.entry("zz")


def _bad(machine: Booted) -> None:
    machine.entry("bad+0-3", *NEW, KEY)
    machine.entry("good+1-2", *OLD, KEY)


def _hidden(machine: Booted) -> None:
    machine.entry("gone", *NEW, KEY, program="linux /nosuch")
    machine.entry("arm", *NEW, KEY, "architecture aa64")
    machine.entry("there", *OLD, KEY)


def _names(machine: Booted) -> None:
    """The suffix counts in the order of names, other than the specification says."""
    machine.entry("debian-6.1-2")
    machine.entry("debian-6.1")


def _pattern(machine: Booted) -> None:
    _newest(machine)
    machine.settings("default new.conf\ndefault O*.conf\n")


def _no_match(machine: Booted) -> None:
    _newest(machine)
    machine.settings("default old\n")


def _unified(machine: Booted) -> None:
    machine.unified("EFI/Linux/u.efi", KERNEL)
    machine.unified("loader/addons/all.addon.efi")
    machine.unified("EFI/Linux/u.efi.extra.d/own.addon.efi")
    machine.entry("type-1", *NEW)


def _options(machine: Booted) -> None:
    machine.unified("u.efi", KERNEL)
    machine.entry("given", KEY, program="efi /u.efi")


CASES: dict[Callable[[Booted], None], list[str]] = {
    _newest: ["entry=new"],
    _first_key: ["entry=b"],
    _bad: ["entry=good+1-2"],
    _hidden: ["entry=there"],
    _names: ["entry=debian-6.1"],
    _pattern: ["entry=old"],
    _no_match: ["entry=new"],
    _unified: [
        "image=EFI/Linux/u.efi",
        "image=loader/addons/all.addon.efi",
        "image=EFI/Linux/u.efi.extra.d/own.addon.efi",
    ],
    _options: ["entry=given"],
}


@pytest.fixture
def booted(tmp_path: Path) -> Booted:
    """A machine with a real kernel."""
    if (reason := why_no_loaders() or why_no_firmware()) is not None:
        pytest.skip(reason)
    return Booted(tmp_path / "machine", Kernel(tmp_path / "kernel"))


def _ours(words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith(("entry=", "image="))]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_systemd_boot_starts_the_same(booted: Booted, case: Callable[[Booted], None]) -> None:
    """The real loader, on real EFI firmware, starts the entry, with the words, of the check."""
    case(booted)
    found = boots(booted.root)
    assert found.next is not None, found.findings
    assert found.next.words is not None
    assert found.next.name.endswith("-cloud-amd64")
    assert _ours(found.next.words) == CASES[case]
    assert _ours(booted.firmware.boot(booted.esp)) == CASES[case]


@pytest.mark.slow
def test_variables_of_a_real_machine(booted: Booted) -> None:
    """With @saved the entry of the last boot is started again, although a newer one is there.

    The firmware has no entry for a program: it starts the one for removable disks, behind a drive
    without a disk and its own set-up.
    """
    booted.settings("default @saved\n")
    booted.entry("old", *OLD, KEY, "initrd /initrd", console=QUIET)
    booted.firmware.variables(booted.esp, booted.root / FOLDER)
    booted.entry("new", *NEW, KEY)
    (booted.esp / "loader/entries/old.conf").write_text(
        (booted.esp / "loader/entries/old.conf").read_text().replace(QUIET, EARLY)
    )
    found = boots(booted.root)
    assert found.next is not None, found.findings
    assert [finding.verdict for finding in found.findings] == [Verdict.OK]
    assert _ours(found.next.words or ()) == ["entry=old"]
    assert _ours(booted.firmware.boot(booted.esp)) == ["entry=old"]


@pytest.mark.slow
def test_image_that_the_firmware_starts(booted: Booted) -> None:
    """A unified image in the place of a boot loader is the next boot, with or without a menu."""
    kernel = f"{KERNEL} --initrd=/efi/initrd"
    booted.unified("EFI/BOOT/BOOTX64.EFI", kernel, console=QUIET)
    booted.entry("other", *NEW)
    booted.firmware.variables(booted.esp, booted.root / FOLDER)
    found = boots(booted.root)
    assert found.next is not None, found.findings
    assert found.findings[0].text.startswith("EFI firmware: ")
    assert _ours(found.next.words or ()) == ["image=EFI/BOOT/BOOTX64.EFI"]
    assert Variables(booted.root / FOLDER).loader_text("StubInfo").startswith("systemd-stub")
