# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``password-agent --test``: whether all that a boot needs is there, as a line for each thing."""

from __future__ import annotations

import os
import stat

from mandos.boot.agent.directory import Directory
from mandos.errors import MandosError
from mandos.keyfiles import exposure, read_key_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.boot.agent.settings import AgentSettings

_OURS = "mandos-client"
_OK, _WARNING, _FAILED = "ok", "warning", "failed"


class Finding:
    """Result of one check: ``ok``, ``warning`` or ``failed``, the thing checked, and its state."""

    __slots__ = ("outcome", "said", "what")

    def __init__(self, outcome: str, what: str, said: str) -> None:
        self.outcome = outcome
        self.what = what
        self.said = said

    def __str__(self) -> str:
        return f"{self.outcome}: {self.what}: {self.said}"


def findings(settings: AgentSettings) -> list[Finding]:
    """Run all checks; they change nothing, and do not start the client."""
    return [
        _user(),
        _directory(settings.directory),
        _program(settings.client[0]),
        _helpers(settings.helpers),
        *_keys(settings.client),
    ]


def exit_status(found: list[Finding]) -> int:
    """The exit status: 0 when nothing failed, else 1."""
    return 1 if any(finding.outcome == _FAILED for finding in found) else 0


def _user() -> Finding:
    if os.geteuid() == 0:
        return Finding(_OK, "user", "root")
    return Finding(_FAILED, "user", "not root, who alone can answer and start the client")


def _directory(path: str) -> Finding:
    try:
        Directory(path).close()
    except MandosError as error:
        return Finding(_FAILED, "questions", str(error))
    if os.path.isdir(path):  # noqa: PTH112 - pathlib is too expensive for early boot
        return Finding(_OK, "questions", f"{path} can be watched")
    return Finding(_OK, "questions", f"{path} does not exist yet; it would be waited for")


def _program(path: str) -> Finding:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - likewise
    except OSError as error:
        return Finding(_FAILED, "client", f"{path}: {error.strerror}")
    if not (stat.S_ISREG(mode) and os.access(path, os.X_OK)):
        return Finding(_FAILED, "client", f"{path} is not a program; run: chmod +x {path}")
    return Finding(_OK, "client", f"{path} can be run")


def _helpers(path: str) -> Finding:
    if os.path.isdir(path):  # noqa: PTH112 - likewise
        return Finding(_OK, "helpers", f"{path} is there")
    return Finding(_WARNING, "helpers", f"{path} is not a directory")


def _keys(client: list[str]) -> Iterator[Finding]:
    """Check the options of our own client; those of another program are unknown."""
    program, *arguments = client
    if os.path.basename(program) != _OURS:  # noqa: PTH119 - likewise
        yield Finding(_WARNING, "keys", f"not looked at: {program} may have other options")
        return
    from mandos.client.settings import COMMAND_LINE, ClientOptions  # noqa: PLC0415 - tests only

    try:
        settings = ClientOptions(COMMAND_LINE.parse(arguments))
    except MandosError as error:
        yield Finding(_FAILED, "client's options", str(error))
        return
    for path in (settings.seckey, settings.tls_pubkey, settings.tls_privkey):
        yield _key(path, secret=path in {settings.seckey, settings.tls_privkey})


def _key(path: str, *, secret: bool) -> Finding:
    try:
        read_key_file(path)
    except MandosError as error:
        return Finding(_FAILED, "key", str(error))
    exposed = exposure(path) if secret else None
    return Finding(_WARNING, "key", exposed) if exposed else Finding(_OK, "key", path)
