# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's tree whose programs are watched for everything that they look for in vain.

Two observers see it.  A finder behind all others, in the start script of every program, notes each
Python module that no other finder has: codecs are among them, for Python imports a codec when its
name is used.  strace(1) notes each file that a system call did not find, in all processes, whoever
asks: the interpreter, the C library with its resolver, or GnuTLS.  Python reads whole folders when
it looks for a module, so one observer does not stand for the other.
"""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING

from harness.early_boot import EarlyBoot
from harness.patience import Patience
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.process import Process

#: What is put into every start script.  It uses what the interpreter has built in, and opens its
#: file each time: child processes close all descriptors.
_FINDER = """import sys
import posix
class _Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        note = posix.open("/missing", posix.O_WRONLY | posix.O_APPEND)
        posix.write(note, (name + "\\n").encode())
        posix.close(note)
sys.meta_path.append(_Missing)
"""
_FIRST_IMPORT = "import sys\n"
_TRACE = "/run/trace"
#: The tracer is no parent of the program, so that signals and exit statuses are the program's own.
_TRACER = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "--failed-only", "-e", "trace=%file")
_FAILED = re.compile(r'^\d+ +\w+\([^"]*"([^"]*)".* = -1 (?:ENOENT|ENOTDIR|ELOOP) ', re.MULTILINE)
_PATH = "/sbin:/usr/sbin:/bin:/usr/bin"
_ENVIRONMENT = {"PATH": _PATH, "SHELL": "/bin/sh"}
_NO_ENVIRONMENT: Mapping[str, str] = {}
#: Folders that are searched in turn: for programs, and for libraries.
_SEARCHED = (
    _PATH.split(":"),
    [f"{top}/lib{rest}" for top in ("", "/usr") for rest in ("", "/x86_64-linux-gnu", "64")],
)

#: Modules that may be looked for in vain, and why.
PERMITTED_MODULES = {
    "traceback": "Python 3.13 and newer show an unhandled exception by it, or without it",
}
#: Files that may be looked for in vain, and why.
PERMITTED_FILES = {
    r"/etc/(ld\.so\.preload|suid-debug)": "the loader's settings, which no system needs to have",
    r"/etc/localtime|/usr/share/zoneinfo/.*": "without it the time zone is UTC; no time is shown",
    r"/etc/gnutls/config": "GnuTLS then has no restrictions of the administrator's",
    r"/conf/conf\.d/mandos/signed-secret": "only there if mandos-keygen has signed the secret",
    r"/etc/(host\.conf|gai\.conf|nsswitch\.conf)": "the resolver has defaults for all of these",
    r"/etc/(hosts|resolv\.conf)": "images have none; who knows names or a name server adds it",
    r"/(usr/)?lib/locale/.*|/usr/share/locale/.*": "without locales Python reads and writes UTF-8",
    r".*/gconv/gconv-modules.*|.*/charset\.alias": "converters, for other locales",
    r"/usr/(bin/)?(pyvenv\.cfg|pybuilddir\.txt|.*\._pth|Modules/Setup(\.local)?)": "Python looks"
    " for where it is installed; the right place is found afterwards",
    r"/usr/(bin/)?lib/python3?[.\d]+(\.zip|/os\.pyc?|/lib-dynload)|/usr/lib/python3.*/os\.py": "the"
    " same; images have byte code alone",
    r".*/__init__\.(py|([a-z0-9_-]+\.)?so)": "Python tries all kinds of a module in turn",
    r".*/(glibc-hwcaps|tls|haswell|x86_64|avx512_1)(/.*)?": "libraries for some processors alone",
    r"/proc/\d+(/.*)?": "processes end while something looks at them",
    r"/dev/kmsg": "the test's host has no kernel log",
    r"/dev/console": "nor a console",
    r"/dev/tty": "nor a terminal, which bash looks for: some images have it as their shell",
    r"/lib/mandos/(network-hooks\.d|plugin-helpers)(/.*)?": "there are some where an administrator"
    " has made some",
    r"/conf/conf\.d/mandos/plugin-runner\.conf": "there is one where an administrator has made one",
    r"/run/plymouth/pid|/(usr/)?s?bin/plymouth(d)?": "says that no boot screen is shown",
    r"/lib/cryptsetup/passfifo": "says that cryptsetup's scripts ask for no password yet",
    r"/run/systemd(/ask-password)?": "says that nothing asks for a password yet",
    r"/var/run/.*|/run/(nscd|systemd/resolve)/.*": "no such service runs in an image",
}


class WatchedImage(EarlyBoot):
    """A host whose programs run in an image's tree, watched."""

    def __init__(self, tree: Path, command_line: str = "") -> None:
        super().__init__(tree, command_line)
        self._traces = 0
        self.file("/missing").touch()
        self.file("/missing").chmod(0o666)
        self.watched = [self._watch_start_script(path) for path in self._start_scripts()]

    def _start_scripts(self) -> list[Path]:
        programs = sorted(self.file("/lib/mandos").rglob("*"))
        return [path for path in programs if path.is_file() and _is_start_script(path)]

    def _watch_start_script(self, path: Path) -> str:
        """Put the finder into a start script; return the name of its program."""
        text = path.read_text(encoding="utf-8")
        assert _FIRST_IMPORT in text
        path.write_text(text.replace(_FIRST_IMPORT, _FINDER, 1), encoding="utf-8")
        return path.name

    def add_program(self, name: str, text: str) -> None:
        """Put another Python program into the image, watched."""
        program = self.file(name)
        program.write_text(f"#!/usr/bin/python3 -IS\n{text}", encoding="utf-8")
        program.chmod(0o755)
        self._watch_start_script(program)

    def watch(
        self,
        *command: str,
        terminal: bool = False,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
    ) -> Process:
        """Start a program of the image, watched with all that it starts."""
        self._traces += 1
        watched = [*_TRACER, "-o", f"{_TRACE}-{self._traces}", "chroot", "/run/root", *command]
        if terminal:
            line = shlex.join(watched)
            watched = ["script", "--quiet", "--return", "--command", line, "/dev/null"]
        return self.start(*watched, environment=_ENVIRONMENT | dict(environment))

    def missing(self) -> set[str]:
        """Modules and files that were looked for in vain and have to be there.

        Waits until all that was started has ended.
        """
        patience = Patience(PATIENCE)
        while self._is_traced():
            assert not patience.is_over(), "programs of the image have not ended"
            time.sleep(0.01)
        return self._missing_modules() | self._missing_files()

    def _missing_modules(self) -> set[str]:
        names = self.file("/missing").read_text(encoding="utf-8").split()
        return {f"the module {name}" for name in names if name not in PERMITTED_MODULES}

    def _missing_files(self) -> set[str]:
        traces = (self.path(f"{_TRACE}-{number}") for number in range(1, self._traces + 1))
        found = {path for trace in traces for path in _FAILED.findall(trace.read_text("utf-8"))}
        return {
            path for path in found if not (_PERMITTED.fullmatch(path) or self._is_elsewhere(path))
        }

    def _is_elsewhere(self, path: str) -> bool:
        """Whether a program or a library is in another folder where it is looked for."""
        folder, _slash, name = path.rpartition("/")
        return any(
            folder in folders and any(self.file(f"{other}/{name}").exists() for other in folders)
            for folders in _SEARCHED
        )

    def _is_traced(self) -> bool:
        """Whether a tracer is at work; one that has ended, and nobody waits for, has no words."""
        for words in self.path("/proc").glob("[0-9]*/cmdline"):
            try:
                if words.read_bytes().startswith(b"strace\0"):
                    return True
            except OSError:
                continue
        return False


_PERMITTED = re.compile("|".join(f"(?:{pattern})" for pattern in PERMITTED_FILES))


def _is_start_script(path: Path) -> bool:
    return path.read_bytes().startswith(b"#!/usr/bin/python3")
