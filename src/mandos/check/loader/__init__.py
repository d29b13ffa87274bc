# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads boot loaders: which kernel, images and kernel command line a machine starts next."""
