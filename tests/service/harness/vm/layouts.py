# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the disks of a machine are laid out, and what crypttab(5) and fstab(5) say of them.

Every layout's disks are made from the same root: ``disk.sh`` makes the plain ones, the others are
made by ``workshop`` in a machine with the tools of that layout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROOT_UUID = "6d616e64-6f73-4000-8000-000000000001"
DATA_UUID = "6d616e64-6f73-4000-8000-000000000002"
#: Devices are waited for longer than any loaded machine takes to show them.
PATIENT = "x-systemd.device-timeout=1h"
_ROOT = f"UUID={ROOT_UUID} none luks,discard,initramfs,{PATIENT}"
_DATA = f"UUID={DATA_UUID} none luks,discard,initramfs,{PATIENT}"
_EXT4 = f"defaults,{PATIENT} 0 1"


@dataclass(frozen=True)
class Layout:
    """What is on the disks, what an image for them needs, and which words the kernel gets."""

    name: str
    crypttab: tuple[str, ...] = (f"cryptroot {_ROOT}",)
    fstab: tuple[str, ...] = (f"/dev/mapper/cryptroot / ext4 {_EXT4}",)
    #: Where the root file system is when all is unlocked.
    root: str = "/dev/mapper/cryptroot"
    #: What the machine itself names the device of /, as a pattern, if it is not ``root``.
    mounted_as: str = ""
    #: Which disks there are, in the order of their slots.
    drives: tuple[str, ...] = ("root.img",)
    #: What makes the disks (make-disks.sh), if they are not the plain ones.
    made_as: str = ""
    #: Packages of the guest that are installed before its initial RAM disk is made.
    packages: tuple[str, ...] = ()
    words: str = ""
    #: The same for dracut: its modules, and words for the kernel.
    dracut_modules: str = ""
    dracut_words: str = f"rd.luks.name={ROOT_UUID}=cryptroot"
    #: MODULES of initramfs.conf.
    modules: str = "list"

    @property
    def name_of_root(self) -> str:
        """What the first disk is called when it is unlocked, and by its prompt."""
        return self.crypttab[0].split()[0]


PLAIN = Layout("plain")
TWO_DISKS = Layout(
    "two-disks", (f"cryptroot {_ROOT}", f"cryptdata {_DATA}"), drives=("root.img", "data.img"),
    dracut_words=f"rd.luks.name={ROOT_UUID}=cryptroot rd.luks.name={DATA_UUID}=cryptdata",
)  # fmt: skip
#: An encrypted volume group with the root and swap in it, as Debian's installer makes it.
LVM = Layout(
    "lvm",
    (f"vda5_crypt {_ROOT}",),
    (f"/dev/mapper/guest-root / ext4 {_EXT4}", "/dev/mapper/guest-swap none swap sw 0 0"),
    root="/dev/mapper/guest-root", made_as="lvm", packages=("lvm2",), dracut_modules="lvm",
    dracut_words=f"rd.luks.name={ROOT_UUID}=vda5_crypt rd.lvm.lv=guest/root rd.lvm.lv=guest/swap",
)  # fmt: skip
#: One file system on both disks.
BTRFS = Layout(
    "btrfs",
    (f"cryptroot {_ROOT}", f"cryptmirror {_DATA}"),
    (f"/dev/mapper/cryptroot / btrfs {_EXT4}",),
    mounted_as=r"/dev/(mapper/crypt(root|mirror)|dm-\d)",
    drives=("root.img", "data.img"), made_as="btrfs", packages=("btrfs-progs",),
    words="rootfstype=btrfs", dracut_modules="btrfs",
    dracut_words=f"rd.luks.name={ROOT_UUID}=cryptroot rd.luks.name={DATA_UUID}=cryptmirror",
)  # fmt: skip
PLYMOUTH = Layout(
    "plymouth", packages=("plymouth",), words="splash",
    dracut_modules="plymouth",
)  # fmt: skip
PLYMOUTH_TWO_DISKS = replace(
    PLYMOUTH, name="plymouth-two-disks", crypttab=TWO_DISKS.crypttab, drives=TWO_DISKS.drives,
    dracut_words=TWO_DISKS.dracut_words,
)  # fmt: skip
DROPBEAR = Layout("dropbear", packages=("dropbear-initramfs",))
#: The image has the drivers of the machine that made it, and no others.
DEPENDENT = Layout("modules-dep", modules="dep")
#: Options that limit how often and how long cryptsetup asks.
OPTIONS = Layout(
    "options",
    (f"cryptroot UUID={ROOT_UUID} none luks,initramfs,tries=1,timeout=600,{PATIENT}",),
    dracut_words=f"rd.luks.name={ROOT_UUID}=cryptroot rd.luks.options=tries=1,timeout=600",
)
#: A name with dashes, which is another name in the names of units.
DASHES = Layout(
    "dashes",
    (f"crypt-root-disk {_ROOT}",),
    (f"/dev/mapper/crypt-root-disk / ext4 {_EXT4}",),
    root="/dev/mapper/crypt-root-disk",
    dracut_words=f"rd.luks.name={ROOT_UUID}=crypt-root-disk",
)
#: A keyscript of Debian's asks once for both disks, and keeps the password in the kernel.
KEYCTL = Layout(
    "keyctl",
    tuple(
        f"{name} UUID={uuid} together luks,initramfs,keyscript=decrypt_keyctl,{PATIENT}"
        for name, uuid in (("cryptroot", ROOT_UUID), ("cryptdata", DATA_UUID))
    ),
    drives=("root.img", "data.img"), packages=("keyutils",),
)  # fmt: skip
#: The machine has no TPM: crypttab asks for one, and a password is what remains.
TPM2 = Layout(
    "tpm2",
    (f"cryptroot UUID={ROOT_UUID} none luks,initramfs,tpm2-device=auto,{PATIENT}",),
    dracut_words=f"rd.luks.name={ROOT_UUID}=cryptroot rd.luks.options=tpm2-device=auto",
)
