# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The import contracts of pyproject.toml refuse what they forbid.

Each case adds one forbidden import to a copy of the source and expects import-linter to report it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
LINTER = Path(sys.executable).parent / "lint-imports"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]


class Forbidden(NamedTuple):
    """An import that a contract must refuse."""

    contract: str
    importer: str
    imported: str


CASES = [
    Forbidden("rooms", "mandos.errors", "mandos.process"),
    Forbidden("rooms", "mandos.lean_stdlib", "mandos.options"),
    Forbidden("rooms", "mandos.process", "mandos.durations"),
    Forbidden("rooms", "mandos.client_settings", "mandos.bus_names"),
    Forbidden("rooms", "mandos.client_settings", "mandos.server.daemon"),
    Forbidden("rooms", "mandos.client_settings", "mandos.admin.proxy"),
    Forbidden("rooms", "mandos.links", "mandos.program"),
    Forbidden("rooms", "mandos.wire.grammar", "mandos.tls.keys"),
    Forbidden("rooms", "mandos.tls.session", "mandos.openpgp.opening"),
    Forbidden("rooms", "mandos.openpgp.opening", "mandos.discovery.messages"),
    Forbidden("rooms", "mandos.discovery.finder", "mandos.client.settings"),
    Forbidden("rooms", "mandos.client.settings", "mandos.boot.terminal"),
    Forbidden("rooms", "mandos.client.settings", "mandos.server.daemon"),
    Forbidden("server-rooms", "mandos.server.life.client", "mandos.server.config.files"),
    Forbidden("server-rooms", "mandos.server.config.files", "mandos.server.state.store"),
    Forbidden("server-rooms", "mandos.server.requests.judge", "mandos.server.bus.service"),
    Forbidden("strangers", "mandos.server.daemon", "mandos.client.settings"),
    Forbidden("strangers", "mandos.server.daemon", "mandos.admin.proxy"),
    Forbidden("strangers", "mandos.admin.ctl.main", "mandos.client.settings"),
    Forbidden("strangers", "mandos.admin.ctl.main", "mandos.server.daemon"),
    Forbidden("strangers", "mandos.client.main", "mandos.admin.proxy"),
    Forbidden("strangers", "mandos.client.main", "mandos.server.daemon"),
    Forbidden("boot-apart", "mandos.boot.runner.main", "mandos.server.daemon"),
    Forbidden("boot-apart", "mandos.boot.terminal", "mandos.admin.proxy"),
    Forbidden("check-apart", "mandos.check.main", "mandos.server.daemon"),
    Forbidden("check-apart", "mandos.rotation.main", "mandos.server.daemon"),
    Forbidden("rooms", "mandos.boot.terminal", "mandos.check.loader.grub"),
    Forbidden("rooms", "mandos.check.loader.grub", "mandos.rotation.state"),
    Forbidden("rooms", "mandos.admin.keygen.main", "mandos.rotation.state"),
    *(
        Forbidden("pure-life", "mandos.server.life.approval", module)
        for module in ("asyncio", "os", "logging", "socket", "sqlite3", "threading", "time")
    ),
    *(
        Forbidden("pure-life", "mandos.client_settings", module)
        for module in ("asyncio", "os", "logging", "socket", "sqlite3", "threading")
    ),
    Forbidden("client-settings", "mandos.client.settings", "mandos.client_settings"),
    Forbidden("client-settings", "mandos.boot.runner.settings", "mandos.client_settings"),
    Forbidden("client-settings", "mandos.discovery.announce", "mandos.client_settings"),
    *(
        Forbidden("pure-protocol", importer, module)
        for importer in ("mandos.wire.conversation", "mandos.discovery.messages")
        for module in ("asyncio", "os", "logging", "socket", "select", "sqlite3", "threading")
    ),
    Forbidden("no-asyncio-at-boot", "mandos.client.settings", "asyncio"),
    Forbidden("no-asyncio-at-boot", "mandos.boot.runner.race", "asyncio"),
    Forbidden("no-asyncio-at-boot", "mandos.client.root.hooks", "mandos.discovery.announce"),
    Forbidden("unprivileged", "mandos.client.unprivileged.search", "mandos.client.root.kernel"),
    Forbidden("one-spawner", "mandos.links", "subprocess"),
    Forbidden("one-spawner", "mandos.server.checking.processes", "subprocess"),
    Forbidden("one-database", "mandos.admin.proxy", "sqlite3"),
    Forbidden("one-database", "mandos.server.daemon", "sqlite3"),
    Forbidden("one-database", "mandos.server.self_check.network", "sqlite3"),
    Forbidden("one-postgresql", "mandos.server.daemon", "psycopg"),
    Forbidden("one-postgresql", "mandos.server.state.opening", "psycopg.rows"),
    Forbidden("one-postgresql", "mandos.server.self_check.state", "psycopg"),
    Forbidden("one-postgresql", "mandos.admin.ctl.main", "psycopg"),
    Forbidden("dbus", "mandos.admin.ctl.main", "dbus_fast"),
    Forbidden("dbus", "mandos.admin.ctl.main", "dbus_fast.aio"),
    Forbidden("dbus", "mandos.discovery.announce", "dbus_fast"),
    Forbidden("dbus", "mandos.server.life.client", "dbus_fast"),
    Forbidden("acyclic", "mandos.openpgp.packets", "mandos.openpgp.opening"),
    Forbidden("acyclic", "mandos.server.config.inifile", "mandos.server.config.server_conf"),
    Forbidden("acyclic", "mandos.server.life.timer", "mandos.server.audit.records"),
    Forbidden("acyclic", "mandos.client.unprivileged.loop", "mandos.client.root_helper"),
]


def _copy(folder: Path) -> Path:
    """Make a tree with the source and the contracts, without compiled files."""
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", folder / "src", ignore=leave_out)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _lint(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Check the contracts of this tree, which hides an installed mandos."""
    return subprocess.run(
        [LINTER, "--no-cache", "--no-logo", *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
    )


def _source(tree: Path, module: str) -> Path:
    """Return the file of a module that is no package."""
    return tree.joinpath("src", *module.split(".")).with_suffix(".py")


def _name(contract: str) -> str:
    (name,) = (one["name"] for one in CONTRACTS if one["id"] == contract)
    return str(name)


def _complaint(case: Forbidden, line: int) -> str:
    """Return what import-linter prints about the import that a case adds in this line."""
    importer, imported = case.importer.split("."), case.imported.split(".")
    if case.contract == "acyclic":
        both = takewhile(lambda parts: parts[0] == parts[1], zip(importer, imported, strict=False))
        return f"No cycles are allowed in {'.'.join(part for part, _ in both)}."
    reported = case.imported if imported[0] == "mandos" else imported[0]
    return f"{case.importer} -> {reported} (l.{line})"


def test_contracts_hold_in_an_unchanged_copy(tmp_path: Path) -> None:
    """A refusal below is the answer to the added import, and to nothing else."""
    done = _lint(_copy(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    for contract in CONTRACTS:
        assert f"{contract['name']} KEPT" in done.stdout


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_contract_refuses(case: Forbidden, tmp_path: Path) -> None:
    """The contract is reported as broken, with the module that has the added import."""
    tree = _copy(tmp_path)
    source = _source(tree, case.importer)
    text = source.read_text(encoding="utf-8")
    source.write_text(f"{text}\nimport {case.imported}\n", encoding="utf-8")
    done = _lint(tree, "--contract", case.contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{_name(case.contract)} BROKEN" in done.stdout
    assert "Contracts: 0 kept, 1 broken." in done.stdout
    assert _complaint(case, len(text.splitlines()) + 2) in done.stdout


def test_each_contract_has_a_case() -> None:
    """A new contract needs a forbidden import here."""
    assert {case.contract for case in CASES} == {contract["id"] for contract in CONTRACTS}


def test_contracts_count_imports_for_types(tmp_path: Path) -> None:
    """An import that only a type checker sees is refused too."""
    tree = _copy(tmp_path)
    source = _source(tree, "mandos.server.daemon")
    text = source.read_text(encoding="utf-8")
    added = "if TYPE_CHECKING:\n    from mandos.client.settings import Address"
    source.write_text(f"{text}\n{added}\n", encoding="utf-8")
    done = _lint(tree, "--contract", "strangers")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "mandos.server.daemon -> mandos.client.settings" in done.stdout


def _find_cycle(tree: Path) -> subprocess.CompletedProcess[str]:
    """Order the modules of this tree by their imports, also those for type checkers."""
    code = """
import graphlib, grimp
graph = grimp.build_graph("mandos", exclude_type_checking_imports=False, cache_dir=None)
imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
graphlib.TopologicalSorter(imports).prepare()
"""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_import_cycle() -> None:
    """The contract compares siblings; this covers a package and its own modules as well."""
    done = _find_cycle(ROOT)
    assert done.returncode == 0, done.stderr


def test_import_cycle_of_a_package_is_found(tmp_path: Path) -> None:
    """A module that imports the package whose __init__ imports the module."""
    tree = _copy(tmp_path)
    with _source(tree, "mandos.server.self_check.findings").open("a", encoding="utf-8") as source:
        source.write("\nfrom mandos.server.self_check import __doc__ as about\n")
    done = _find_cycle(tree)
    assert "graphlib.CycleError" in done.stderr
    assert "mandos.server.self_check.findings" in done.stderr


#: Calls that start a process. import-linter sees imports of modules only.
SPAWNING = re.compile(r"\bos\.(fork|forkpty|posix_spawnp?|spawn\w+|exec[lv]\w*|popen|system)\(")
SPAWNERS = {"process.py", "server/system/background.py"}


def _spawners(package: Path) -> set[str]:
    """Return the files that call a function of os that starts a process."""
    found = (path for path in package.rglob("*.py") if SPAWNING.search(path.read_text("utf-8")))
    return {str(path.relative_to(package)) for path in found}


def test_only_one_module_starts_processes(tmp_path: Path) -> None:
    """One module for other programs, and one that moves the server into the background."""
    assert _spawners(ROOT / "src" / "mandos") == SPAWNERS
    package = _copy(tmp_path) / "src" / "mandos"
    with (package / "links.py").open("a", encoding="utf-8") as source:
        source.write("\nos.fork()\n")
    assert _spawners(package) == SPAWNERS | {"links.py"}


#: Calls that read the date. The type datetime itself may be imported.
READING_THE_DATE = re.compile(r"\b(datetime|date)\.(now|utcnow|today)\(")


def _clock_readers(package: Path) -> set[str]:
    """Return the files of a client's life that read the machine's date."""
    found = (package / "server" / "life").glob("*.py")
    return {path.name for path in found if READING_THE_DATE.search(path.read_text("utf-8"))}


def test_life_reads_no_date(tmp_path: Path) -> None:
    """Its methods take ``now``; import-linter sees the import of time, but not these calls."""
    assert _clock_readers(ROOT / "src" / "mandos") == set()
    package = _copy(tmp_path) / "src" / "mandos"
    with (package / "server" / "life" / "timer.py").open("a", encoding="utf-8") as source:
        source.write("\ndatetime.now(UTC)\n")
    assert _clock_readers(package) == {"timer.py"}
