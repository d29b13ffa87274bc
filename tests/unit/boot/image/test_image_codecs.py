# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that an initial RAM disk runs uses no codec but UTF-8, for an image has no other.

Following imports cannot find a codec: Python imports it at run time, by the name of an encoding.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mandos.boot.image import modules

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
SOURCE = ROOT / "src"
#: Functions that take an encoding: the position and the name of that argument.
TAKES_ENCODING = {
    "open": (3, "encoding"),
    "fdopen": (3, "encoding"),
    "TextIOWrapper": (1, "encoding"),
    "str": (1, "encoding"),
    "bytes": (1, "encoding"),
    "bytearray": (1, "encoding"),
    "encode": (0, "encoding"),
    "decode": (0, "encoding"),
    "read_text": (0, "encoding"),
    "write_text": (1, "encoding"),
}
#: They look up a codec or a module at run time, whatever they are given.
NEVER = {"strptime", "open_code", "getfqdn", "getwriter", "getreader"}
#: These error handlers are part of the interpreter and load nothing.
HANDLERS = {"strict", "ignore", "replace", "backslashreplace", "surrogateescape", "surrogatepass"}
#: Reads the machine's table of IPv6 addresses while no further codec can be loaded.
WITHOUT_CODECS = """
import sys
class NoCodec:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("encodings."):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoCodec)
sys.path.insert(0, sys.argv[1])
from mandos.discovery import sockets
sockets._IF_INET6 = sys.argv[2]
print(*(own.hex() for own, _mask in sockets.addresses6(2)), sockets.is_on_link("fd00::7", 2))
"""
IF_INET6 = """\
fd000000000000000000000000000001 02 40 00 80     eth0
fe800000000000000000000000000001 02 40 20 80     eth0
20010db8000000000000000000000001 03 40 00 80     eth1
"""


def _programs() -> list[str]:
    """The modules of all programs that an image runs, as the installer lists them."""
    listed = (ROOT / "tools" / "install").read_text(encoding="utf-8")
    found = re.findall(r'"(mandos\.(?:boot|client)\.[a-z_.]+)"', listed)
    return sorted(set(found) - {"mandos.boot.image.main", "mandos.boot.image.launcher"})


def _reachable(folder: Path) -> list[Path]:
    """The sources of all our modules that these programs can load."""
    script = folder / "programs.py"
    script.write_text("".join(f"import {name}\n" for name in _programs()), encoding="utf-8")
    names = sorted(modules.closure([script]))
    paths = [SOURCE / name.replace(".", "/") for name in names if name.startswith("mandos")]
    return [next(p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists())
            for path in paths]  # fmt: skip


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    named = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return next(iter(call.args[position : position + 1] + named), None)


def _is_text(value: ast.expr | None, *allowed: str) -> bool:
    return isinstance(value, ast.Constant) and value.value in allowed


def _doubts(call: ast.Call) -> Iterator[str]:
    """What is wrong with a call, if it takes an encoding or looks one up."""
    name = _name(call.func)
    if name in NEVER:
        yield name
    if name == "getaddrinfo" and not _is_bytes(call.args[0]):
        yield "getaddrinfo of text, which loads the codec idna"
    if name in TAKES_ENCODING and not _is_another_open(call.func):
        encoding = _argument(call, *TAKES_ENCODING[name])
        if encoding is not None and not _is_text(encoding, "utf-8"):
            yield f"the encoding {ast.unparse(encoding)}"
        if encoding is None and _opens_text(call):
            yield "text without an encoding"
    errors = _argument(call, 1, "errors") if name in {"encode", "decode"} else None
    if errors is not None and not _is_text(errors, *HANDLERS):
        yield f"the error handler {ast.unparse(errors)}"


def _is_another_open(function: ast.expr) -> bool:
    """Whether this is os.open, which knows bytes only, or some method of that name."""
    return _name(function) == "open" and ast.unparse(function) not in {"open", "io.open"}


def _is_bytes(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and _name(value.func) == "encode"


def _opens_text(call: ast.Call) -> bool:
    """Whether a call opens a file as text: its mode is not there, is no constant, or lacks a b."""
    if _name(call.func) not in {"open", "fdopen"}:
        return _name(call.func) in {"TextIOWrapper", "read_text", "write_text"}
    mode = _argument(call, 1, "mode")
    return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))


def _found(source: str) -> list[str]:
    """Everything in a source that may look for a codec, with its line."""
    tree = ast.parse(source)
    found = [(node.lineno, doubt) for node in ast.walk(tree)
             if isinstance(node, ast.Call) for doubt in _doubts(node)]  # fmt: skip
    found += [(node.lineno, "codecs") for node in ast.walk(tree)
              if isinstance(node, ast.Import | ast.ImportFrom)
              and "codecs" in ast.unparse(node).split()]  # fmt: skip
    return [f"{line}: {doubt}" for line, doubt in sorted(found)]


def test_early_boot_names_no_codec_but_utf_8(tmp_path: Path) -> None:
    """In every module that a program of an image can load."""
    sources = _reachable(tmp_path)
    assert SOURCE / "mandos/discovery/sockets.py" in sources
    assert SOURCE / "mandos/boot/agent/question.py" in sources
    found = {path: _found(path.read_text(encoding="utf-8")) for path in sources}
    assert {str(path): doubts for path, doubts in found.items() if doubts} == {}


@pytest.mark.parametrize(
    "source",
    [
        'open("/proc/net/if_inet6", encoding="ascii")',
        'open("/etc/hostname")',
        'open("/etc/hostname", mode)',
        'data.decode("ascii")',
        'data.decode(encoding="latin-1")',
        'text.encode("idna")',
        "text.encode(encoding)",
        'text.encode(errors="namereplace")',
        'str(data, "ascii")',
        'socket.getaddrinfo("host", None)',
        'time.strptime("2026", "%Y")',
        "import codecs",
        "from codecs import lookup",
    ],
)
def test_check_finds(source: str) -> None:
    """The check can fail: each of these looks for a codec, or may."""
    assert _found(source) != []


@pytest.mark.parametrize(
    "source",
    [
        'open("/proc/net/if_inet6", "rb")',
        'open("/etc/hostname", encoding="utf-8")',
        "os.open(path, os.O_RDONLY)",
        "data.decode()",
        'data.decode("utf-8", "replace")',
        'text.encode(errors="surrogateescape")',
        "str(error)",
        "socket.getaddrinfo(host.encode(), None)",
    ],
)
def test_check_lets_pass(source: str) -> None:
    """UTF-8 and bytes need nothing."""
    assert _found(source) == []


def test_addresses_are_read_without_a_codec(tmp_path: Path) -> None:
    """An answer from an address that is not link-local makes the client look at its own ones."""
    table = tmp_path / "if_inet6"
    table.write_text(IF_INET6, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", WITHOUT_CODECS, SOURCE, table],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    own = "fd000000000000000000000000000001 fe800000000000000000000000000001"
    assert done.stdout == f"{own} True\n"
