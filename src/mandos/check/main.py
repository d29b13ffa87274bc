# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-check: walks the chain that the next boot will walk, and prints each link."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mandos import process, program
from mandos.check import findings, private_root
from mandos.check.findings import COMES_BACK, STAYS_DOWN, Link, Verdict, exit_status, shown
from mandos.errors import MachineError, MandosError, UsageError
from mandos.options import CommandLine, Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.check.findings import Finding

COMMAND_LINE = CommandLine(
    "mandos-check",
    "Says before a reboot whether this machine will come back by itself; needs root.\n"
    "Exit status: 0 it will, 1 it would not, 2 not sure.  Manual page: mandos-check(8).",
    (
        Option("json", "", None, "print the findings as JSON"),
        Option("quiet", "q", None, "print only what is not ok"),
        Option("kernel", "", "VERSION", "check this kernel instead of the next one"),
        Option("no-fetch", "", None, "look for servers, and ask them nothing"),
        Option("image-only", "", None, "check keys and images alone, without the network"),
        Option(
            "count-as-boot",
            "",
            None,
            "also ask the original's servers, where it counts as a boot",
        ),
        Option("boot", "", None, "also boot in a virtual machine until the disks are unlocked"),
        Option("boot-limit", "", "SECONDS", "time for --boot (120; emulated 600)"),
        Option("keys", "", "DIR", "the client's keys (/etc/keys/mandos)"),
    ),
)
_SUMMARY = {
    COMES_BACK: "This machine will come back by itself.",
    STAYS_DOWN: "This machine would not come back by itself.",
    findings.UNSURE: "It is not sure that this machine comes back by itself.",
}
_ONLY_IMAGES = "Keys and images are in order; no server was asked."
_LINK_WIDTH = max(len(link.value) for link in Link) + 2
_INDENT = _LINK_WIDTH + 9


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mandos-check; returns the exit status: 128 and more after a signal."""
    try:
        program.raise_on_signals(if_ignored=False)
        return _run(sys.argv[1:] if arguments is None else arguments)
    except MandosError as error:
        return program.report(error, program.speaker(COMMAND_LINE.program))
    except program.Ended as end:
        if end.number != signal.SIGTERM:  # its sender, such as timeout(1), says so itself
            name = program.ENDING_SIGNALS[end.number]
            program.speaker(COMMAND_LINE.program)(f"ended by {name}; the machine is as it was")
        return 128 + end.number


def _run(arguments: Sequence[str]) -> int:
    """Do the work that the arguments ask for; returns the exit status.  Raises MandosError."""
    given = program.parsed_options(COMMAND_LINE, arguments)
    if given is None:
        return 0
    if "boot" in given and ("no-fetch" in given or "image-only" in given):
        raise UsageError("--boot needs a server that gives the password: it goes with neither"
                         " --no-fetch nor --image-only")  # fmt: skip
    if os.geteuid() != 0:
        raise MachineError("only root can read the keys and the images", "run it as root")
    # Here, since a library of the operating system may be missing: that is reported as an error.
    from mandos.check.chain import Chain, Wanted  # noqa: PLC0415 - as said

    process.forbid_tracing()  # no core file, either: prctl(2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nor of cryptsetup
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # servers send names
    keys = Path(given.text("keys", "/etc/keys/mandos"))
    wanted = Wanted(
        fetch="no-fetch" not in given,
        image_only="image-only" in given,
        count_as_boot="count-as-boot" in given,
        kernel=given.text("kernel", ""),
        boot="boot" in given,
        boot_limit=given.seconds("boot-limit", 0.0),
    )
    folder = private_root.enter()
    try:
        found = list(Chain(Path("/"), keys, folder, wanted).walk())
    finally:
        private_root.leave()
    chosen = [one for one in found if one.verdict is not Verdict.OK] if "quiet" in given else found
    status = exit_status(found)
    summary = _SUMMARY[status]
    if wanted.image_only and status == COMES_BACK:
        summary = _ONLY_IMAGES
    if "json" in given:
        print(_as_json(chosen, status, summary))  # noqa: T201 - printing is its purpose
    elif chosen or "quiet" not in given:
        print(_as_text(chosen, summary))  # noqa: T201 - printing is its purpose
    return status


def _as_json(found: Sequence[Finding], status: int, summary: str) -> str:
    rows = [
        {
            "link": finding.link.value,
            "verdict": finding.verdict.value,
            "subject": finding.subject,
            "text": finding.text,
            "meaning": finding.meaning,
            "cure": finding.cure,
        }
        for finding in found
    ]
    return json.dumps({"status": status, "summary": summary, "findings": rows}, indent=2)


def _as_text(found: Sequence[Finding], summary: str) -> str:
    lines: list[str] = []
    for finding in found:
        subject = f"{finding.subject}: " if finding.subject else ""
        verdict = finding.verdict.value
        word = verdict.upper() if finding.verdict is Verdict.BROKEN else verdict
        text = shown(f"{subject}{finding.text}")
        lines.append(f"{finding.link.value:<{_LINK_WIDTH}}{word:<9}{text}")
        for name, text in (("meaning: ", finding.meaning), ("cure: ", finding.cure)):
            if text:
                lines.append(f"{'':<{_INDENT}}{name}{shown(text)}")
    return "\n".join([*lines, "", summary])
