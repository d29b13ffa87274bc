# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the plugins in the plugin directory, and how each is to be started.

A set-user-ID *script* runs as its caller: the kernel ignores the bit, execve(2).  The plugins of
this family are scripts, so the runner sets their user IDs as the kernel would for a binary: the
real user stays unprivileged, the effective and saved one is the file's owner.
"""

from __future__ import annotations

import os
import stat

from mandos.boot.runner.plugin import Plugin
from mandos.errors import MachineError
from mandos.process import launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.boot.runner.plugin import Standard
    from mandos.boot.runner.settings import RunnerSettings
    from mandos.program import Say

#: Ends of the names of files that editors and package managers leave behind.
_LEFTOVERS = (
    "~",
    *(".dpkg-bak", ".dpkg-dist", ".dpkg-divert", ".dpkg-new", ".dpkg-old", ".dpkg-remove"),
    *(".dpkg-tmp", ".ucf-dist", ".ucf-new", ".ucf-old", ".ucf-tmp"),
    *(".rpmnew", ".rpmorig", ".rpmsave"),
)
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def is_plugin_name(name: str) -> bool:
    """False for hidden files and for leftovers of editors and package managers."""
    autosaved = name.startswith("#") and name.endswith("#")
    return not (name.startswith(".") or autosaved or name.endswith(_LEFTOVERS))


def find_plugins(settings: RunnerSettings, say: Say, debug: Say) -> list[Plugin]:
    """The enabled plugins, by name.  A directory that cannot be read is said, and has none."""
    try:
        names = sorted(os.listdir(settings.plugin_dir))  # noqa: PTH208 - pathlib is expensive
    except OSError as error:
        say(f"cannot read the plugin directory {settings.plugin_dir}: {error.strerror}")
        return []
    found = [name for name in names if is_plugin_name(name) and _runs(settings, name)]
    for name in sorted(settings.unknown(set(found))):
        debug(f"options name the plugin {name}, which is not in {settings.plugin_dir}")
    return [_plugin(settings, name, debug) for name in found if settings.starts(name)]


def _runs(settings: RunnerSettings, name: str) -> bool:
    try:
        mode = os.stat(f"{settings.plugin_dir}/{name}").st_mode  # noqa: PTH116 - the same
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & _EXECUTABLE)


def _plugin(settings: RunnerSettings, name: str, debug: Say) -> Plugin:
    path = f"{settings.plugin_dir}/{name}"
    command = [path, *settings.arguments(name)]
    environment = settings.environment(name, os.environ)

    def start(standard: Standard) -> int:
        owners = script_owners(path)
        debug(f"starting {name}" + (f" with the rights of {owners}" if owners else ""))
        drop = _dropping(settings.user, settings.group, owners)
        return launch(command, env=environment, standard=standard, prepare=drop)

    return Plugin(name, start)


def script_owners(path: str) -> tuple[int | None, int | None] | None:
    """User and group whose rights a set-ID script gets; None when it has no such bit.

    As for binaries: not on a file system mounted nosuid.  And only where the owner and root
    alone can put another file in the script's place before it runs.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            found = os.fstat(file.fileno())
            start = file.read(2)
            refused = os.fstatvfs(file.fileno()).f_flag & os.ST_NOSUID
    except OSError:
        return None
    user = found.st_uid if found.st_mode & stat.S_ISUID else None
    group = found.st_gid if found.st_mode & stat.S_ISGID else None
    if start != b"#!" or refused or (user, group) == (None, None):
        return None
    if not _is_kept(os.path.dirname(path), found.st_uid):  # noqa: PTH120 - the same
        raise MachineError(
            "its set-user-ID or set-group-ID bit is refused, because"
            " users other than its owner can write to its directory"
        )
    return user, group


def _is_kept(directory: str, owner: int) -> bool:
    found = os.stat(directory)  # noqa: PTH116 - the same
    return found.st_uid in (0, owner) and not found.st_mode & _WRITABLE_BY_OTHERS


def _dropping(
    user: int, group: int, owners: tuple[int | None, int | None] | None
) -> Callable[[], None]:
    """Return the function by which a new process gives root up; without root, it does nothing."""
    effective_user, effective_group = owners or (None, None)

    def drop() -> None:
        if os.geteuid() != 0:
            return
        os.setgroups([])
        kept_group = group if effective_group is None else effective_group
        os.setresgid(group, kept_group, kept_group)
        kept_user = user if effective_user is None else effective_user
        os.setresuid(user, kept_user, kept_user)

    return drop
