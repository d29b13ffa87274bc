# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages in Markdown: their links lead somewhere, and the files and tests that they name exist."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
#: Names of files and folders of the checkout, with the test in the file if one is meant.
FILE = re.compile(r"(?P<path>[\w.-]+(?:/[\w.*-]+)*/?)(?:::(?P<test>\w+))?")
FOLDERS = {"src", "tests", "tools", "docs", "man", "benchmarks", "conf", "debian", "examples"}
#: Files of a system that look like modules.
SYSTEM_FILE = re.compile(r"mandos\.(conf|db|service)")
#: Words that stand for any name.
PLACEHOLDER = re.compile(r"NAME|\*")


def _prose(page: Path) -> str:
    """Return the text without blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """Return the names of the headings, as sites that show Markdown make them."""
    headings = (
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in HEADING.findall(_prose(page))
    )
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def _links(page: Path) -> list[str]:
    """Return the targets of links and pictures in the checkout."""
    targets = LINK.findall(CODE.sub("", _prose(page)))
    return [one for one in targets if not re.match(r"[a-z]+:", one)]


@cache
def _files() -> list[str]:
    """Return all files and folders of the checkout, each with a slash in front; folders end so."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name in _own_folders()]
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    names = (f"/{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}" for path in paths)
    return [name for name in names if "__pycache__" not in name]


def _own_folders() -> set[str]:
    return FOLDERS | {"dbus", "dracut", "initramfs-tools", "systemd", "sysusers.d"}


@cache
def _tests() -> str:
    """Return the text of all tests."""
    return "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("*.py")))


def _is_test(name: str) -> bool:
    """Whether a test function, or a class or state machine of tests, has this name."""
    return bool(re.search(rf"^ *(async def|def|class) {name}\b|^{name} = ", _tests(), re.MULTILINE))


@cache
def _packages() -> set[str]:
    """Return the names of the folders of the source and of the tests."""
    return {
        path.name
        for top in ("src/mandos", "tests")
        for path in (ROOT / top).rglob("*")
        if path.is_dir() and path.name != "__pycache__"
    }


def _is_our_file(path: str) -> bool:
    """Whether a path in backquotes means a file of the checkout, not one of a system."""
    first = path.partition("/")[0]
    if "/" in path:
        return first in FOLDERS or first in _packages()
    return path.endswith(".py")


def _is_there(path: str) -> bool:
    """Whether a file or folder has this name, or ends with it; modules may lack their ``.py``."""
    if path.partition("/")[0] in FOLDERS:
        return bool(list(ROOT.glob(path.rstrip("/")))) or (ROOT / f"{path}.py").exists()
    endings = (f"/{path}", f"/{path}.py", f"/{path}/")
    return any(name.endswith(endings) for name in _files())


def _missing(text: str) -> str:
    """Return the part of a text in backquotes that is named and does not exist; usually empty."""
    if re.fullmatch(r"test_\w+", text):
        return "" if _is_test(text) or _is_there(f"{text}.py") else text
    if re.fullmatch(r"mandos(\.[a-z_]+)+", text) and not SYSTEM_FILE.fullmatch(text):
        return "" if _is_there(f"src/{text.replace('.', '/')}") else text
    match = FILE.fullmatch(text)
    if not match or not _is_our_file(match["path"]) or PLACEHOLDER.search(match["path"]):
        return ""
    if not _is_there(match["path"]):
        return match["path"]
    return "" if not match["test"] or _is_test(match["test"]) else match["test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link and picture has its file, and each anchor its heading."""
    for link in _links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


def test_installed_links_lead_somewhere(tmp_path: Path) -> None:
    """An installation has all pages in one folder, and only the text of links that lead out."""
    (tmp_path / "libraries").mkdir()
    options = ("--packages", "common", "--packaging", "--prefix=/usr")
    places = (f"--destdir={tmp_path}", f"--libraries={tmp_path}/libraries")
    subprocess.run([sys.executable, ROOT / "tools/install", *options, *places], check=True)
    pages = sorted((tmp_path / "usr/share/doc/mandos-common").glob("*.md"))
    assert "installing.md" in _links(pages[[page.name for page in pages].index("index.md")])
    for page in pages:
        for link in _links(page):
            assert (page.parent / link.partition("#")[0]).exists(), (page.name, link)


def test_start_page_has_every_page() -> None:
    """docs/index.md links to all others in its folder, and to every manual page."""
    linked = {(DOCS / link).resolve() for link in _links(DOCS / "index.md")}
    wanted = {*DOCS.glob("*.md"), *(ROOT / "man").iterdir()} - {DOCS / "index.md"}
    assert wanted - linked == set()


def test_readme_leads_to_the_start_page() -> None:
    """The README is the first page that people see."""
    assert "docs/index.md" in _links(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_and_tests_exist(page: Path) -> None:
    """No page names a file, a module or a test that is gone, in backquotes."""
    assert list(filter(None, map(_missing, CODE.findall(_prose(page))))) == []


@pytest.mark.parametrize(
    "text",
    [
        *("src/mandos/gone.py", "tests/unit/test_gone.py", "tools/gone", "server/gone"),
        *("life/gone.py", "gone.py", "mandos.gone", "test_that_is_gone"),
        "unit/house/test_markdown.py::test_that_is_gone",
    ],
)
def test_missing_names_are_found(text: str) -> None:
    """The search of the test above sees each form in which pages name files and tests."""
    assert _missing(text)


@pytest.mark.parametrize(
    "text",
    [
        *("src/mandos/program.py", "src/mandos/server/", "server/life", "life/client.py"),
        *("tools/structure", "test_markdown.py", "mandos.program", "test_missing_names_are_found"),
        *("unit/house/test_markdown.py::test_missing_names_are_found", "plugins.d/usb-key"),
        *("/etc/mandos/clients.conf", "man/NAME.8mandos", "mandos --check", "clients.d/*.conf"),
    ],
)
def test_other_names_are_no_complaint(text: str) -> None:
    """Files that exist, files of a system, commands, and words that stand for any name."""
    assert not _missing(text)
