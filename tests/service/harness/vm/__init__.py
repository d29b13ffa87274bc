# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole machines with encrypted roots, booted in QEMU.

``images`` makes, and keeps, disks and initial RAM disks (by the shell scripts beside it);
``console`` reads and types at a machine's serial console; ``boot`` switches machines on, on the
network of a test; ``overlay`` changes a few files of an initial RAM disk.
"""
