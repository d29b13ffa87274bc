# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the configuration is valid, readable at a reload, and closed to other users."""

from __future__ import annotations

import grp
import logging
import os
import shlex
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mandos.errors import AdministratorError
from mandos.openpgp.secret_check import warning_about
from mandos.server.config import clients_conf
from mandos.server.config.clients_conf import load_clients
from mandos.server.self_check.as_user import as_user, in_child
from mandos.server.self_check.findings import failed, failures, not_checked, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.client_settings import ClientSettings
    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.self_check.findings import Finding
    from mandos.server.system.privileges import ServerUser

MAIN = "mandos.conf"
CLIENTS = "clients"
_RELOAD = "reload"
_SECRETS = "secrets"
_SEAL = "run mandos-keygen --password on the client, and put the new secret in the place of the old"
#: The beginning of the reader's remark about open files.  Here open files are findings of their
#: own, as are weak secrets.
_EXPOSED = "everyone can read"


def check_notices(settings: ServerSettings) -> Iterator[Finding]:
    """Report the remarks of the reader of mandos.conf; its errors have ended the program before."""
    path = settings.configdir / "mandos.conf"
    for notice in settings.notices:
        yield warning(MAIN, notice, "correct the name, or remove the line; see mandos.conf(5)")
    if not settings.notices and path.exists():
        yield ok(MAIN, f"{path} is valid")


def check(configdir: Path, user: ServerUser, clients: list[ClientSettings]) -> Iterator[Finding]:
    """Check the clients' files; without errors, the clients are added to ``clients``."""
    with _remarks() as remarks:
        try:
            clients += load_clients(configdir)
        except AdministratorError as error:
            yield from _remarked(remarks)
            yield from _problems(error, user)
            return
    yield _number(clients, configdir)
    for client in clients:
        if doubt := warning_about(client.secret):
            yield warning(CLIENTS, f"the secret of {client.name}: {doubt}", _SEAL)
    yield from _remarked(remarks)
    yield from _reload(configdir, user)
    yield from _secrets(configdir, user)


def _problems(error: AdministratorError, user: ServerUser) -> Iterator[Finding]:
    """Yield a finding for each problem; a file that only root can read is not a failure."""
    for finding in failures(CLIENTS, error):
        if os.geteuid() != 0 and f"{user.name} may not" in finding.said:
            yield not_checked(CLIENTS, finding.said)
        else:
            yield finding


def _number(clients: list[ClientSettings], configdir: Path) -> Finding:
    if clients:
        return ok(CLIENTS, f"{len(clients)} in {configdir}, all valid")
    mend = "run mandos-keygen --password on a client, and copy its output into clients.conf"
    return warning(CLIENTS, f"there are no clients in {configdir}", mend)


@contextmanager
def _remarks() -> Iterator[list[logging.LogRecord]]:
    """Collect the log lines of the reader of the clients' files meanwhile."""
    remarks = _Remarks()
    log = logging.getLogger(clients_conf.__name__)
    before = log.level
    log.addHandler(remarks)
    log.setLevel(logging.INFO)
    try:
        yield remarks.lines
    finally:
        log.removeHandler(remarks)
        log.setLevel(before)


class _Remarks(logging.Handler):
    """A log handler that keeps the lines."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)


def _remarked(lines: list[logging.LogRecord]) -> Iterator[Finding]:
    for line in lines:
        if not line.getMessage().startswith((_EXPOSED, clients_conf.OF_SECRETS)):
            yield warning(CLIENTS, line.getMessage(), "see mandos-clients.conf(5)")


def _reload(configdir: Path, user: ServerUser) -> Iterator[Finding]:
    """Read the files as the server's user, as each reload does; the start reads them as root."""
    if os.geteuid() != 0:
        yield not_checked(_RELOAD, "whether the server's user can read the configuration again")
        return
    problems = as_user(user, lambda: _problems_of_reading(configdir))
    if not problems:
        yield ok(_RELOAD, f"the user {user.name} can read the configuration again")
    for problem in problems:
        said, _run, command = problem.partition("; run: ")
        mend = f"run: {command}" if command else "restart the server instead of reloading it"
        yield warning(_RELOAD, said, mend)


def _problems_of_reading(configdir: Path) -> list[str]:
    try:
        load_clients(configdir)
    except AdministratorError as error:
        return str(error).splitlines()
    return []


def _secrets(configdir: Path, user: ServerUser) -> Iterator[Finding]:
    """Report other users' rights to read or change the files with the clients and their secrets."""
    paths = [Path(path) for path in in_child(lambda: _files_read(configdir))]
    found = [finding for path in paths for finding in _open_to_others(path, user)]
    yield from found
    if not found:
        said = f"no other user can read or change the {len(paths)} files of the clients"
        yield ok(_SECRETS, said)


def _files_read(configdir: Path) -> list[str]:
    """Return the files that the reader of the clients opens, by sys.addaudithook; with secfiles."""
    opened: set[str] = set()

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.add(os.fsdecode(arguments[0]))

    sys.addaudithook(hear)
    load_clients(configdir)
    return sorted(path for path in opened if Path(path).is_file())


def _open_to_others(path: Path, user: ServerUser) -> Iterator[Finding]:
    status = path.stat()
    mode, name = stat.S_IMODE(status.st_mode), shlex.quote(str(path))
    if mode & stat.S_IWOTH:
        yield failed(_SECRETS, f"everyone can change {path}", f"run: chmod o-rwx {name}")
    elif mode & stat.S_IROTH and _can_be_reached(path):
        yield failed(_SECRETS, f"everyone can read {path}", f"run: chmod o-rwx {name}")
    if status.st_uid not in (0, user.uid):
        said = f"{path} belongs to the user with ID {status.st_uid}, who can change it"
        yield failed(_SECRETS, said, f"run: chown root {name}")
    if mode & (stat.S_IRGRP | stat.S_IWGRP) and status.st_gid not in (0, user.gid):
        group = _group_name(status.st_gid)
        said = f"the group {group} can {'change' if mode & stat.S_IWGRP else 'read'} {path}"
        yield warning(_SECRETS, said, f"run: chgrp {_group_name(user.gid)} {name}")


def _can_be_reached(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
