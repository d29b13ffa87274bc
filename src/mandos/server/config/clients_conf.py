# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files ``clients.conf`` and ``clients.d/*.conf``: manual page mandos-clients.conf(5).

Every value is read and checked once, by the parser of its kind (``parsers``).  The checker is
expanded a second time when it runs; the names in it are checked here already.  The mistakes of all
files are reported together.

A reload takes all or nothing.  At a start a mistake costs only the clients that it may concern: one
section, or all of a file whose ``[DEFAULT]`` is in doubt, since a client must not get its secret by
other rules than its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mandos.bus_names import CLIENT_NAME_LIMIT
from mandos.client_settings import SETTINGS, ClientSettings, ValueKind
from mandos.durations import DurationError
from mandos.errors import AdministratorError
from mandos.openpgp.secret_check import warning_about
from mandos.server.config.files import in_one_line, is_there, list_folder, quoted, read_file, shown
from mandos.server.config.inifile import (
    DEFAULT,
    FILE_LIMIT,
    decode,
    expand,
    label,
    may_end_base64,
    parse_ini,
    plain_name,
    spelling_hint,
)
from mandos.server.config.parsers import PARSERS, SEAL
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mandos.server.config.inifile import Section, Value

log = logging.getLogger(__name__)

_NAMED = re.compile(r"%\(([^()]+)\)s")
#: How often the files are read again after one of them has vanished.
_TRIES = 5
#: Limits: different remarks or problems, names in a message, characters of a value.
_SHOWN = 100
_NAMES_SHOWN = 10
_VALUE_SHOWN = 80
#: A part of a value that was probably meant as a comment.
_COMMENT_HINT = "; a comment cannot stand behind a value"
_COMMENT = re.compile(r"\s[;#]")
_MEND = "mend this, then start or reload the server; see mandos-clients.conf(5)"


class _Default(NamedTuple):
    """An option of a [DEFAULT], and its file."""

    value: Value
    where: str


_Defaults = dict[str, _Default]

#: The parsers of all options but those of the secret.
READERS: Mapping[str, Callable[[str], object]] = {
    setting.name: PARSERS[setting.kind]
    for setting in SETTINGS
    if setting.kind is not ValueKind.SECRET
}
_KNOWN = frozenset(READERS) | {"secret", "secfile"}
#: Options of texts, which take a comment behind the value as a part of it.
_TEXTS = {setting.name for setting in SETTINGS if setting.kind is ValueKind.TEXT}
#: Options whose errors never quote the whole value: it may be a misplaced secret.
_DISCREET = {"secfile"} | {
    setting.name
    for setting in SETTINGS
    if setting.kind in {ValueKind.SECRET, ValueKind.KEY_ID, ValueKind.FINGERPRINT}
}
#: Options that each client has for itself.  When one of them stands before the first section, a
#: header is missing; otherwise the options there are meant for all clients.
_IDENTITY = {"secfile"} | {setting.name for setting in SETTINGS if setting.own}


class Reading(NamedTuple):
    """The clients that are sound, each mistake in the files, and the names of skipped clients."""

    clients: list[ClientSettings]
    problems: list[str]
    skipped: list[str]


def load_clients(configdir: Path) -> list[ClientSettings]:
    """Read all clients: ``clients.conf``, then ``clients.d/*.conf`` sorted by their names.

    Either may be missing, but not both.  Raises AdministratorError with every problem that was
    found, each naming file, line, section, option and what is expected.  Logs remarks.
    """
    return _found(configdir).conclude()


def read_clients(configdir: Path) -> Reading:
    """Read the clients that are sound, and skip the others.  Logs remarks.

    Raises AdministratorError when there are problems and not one client is left.
    """
    findings = _found(configdir)
    if not findings.clients:
        return Reading(findings.conclude(), [], [])
    findings.remark()
    return Reading(findings.clients, findings.problems.all(), list(findings.skipped))


def _found(configdir: Path) -> _Findings:
    for _ in range(_TRIES):
        findings = _Findings()
        try:
            _read_all(configdir, findings)
        except _VanishedError:
            continue
        return findings
    raise AdministratorError(f"files in {shown(configdir)} come and go", "wait until they stay")


def parse_client(text: str, where: str = "the section") -> ClientSettings:
    """Read one section that an administrator sends; it must contain the secret.

    Raises AdministratorError with every problem, each with its line.
    """
    findings = _Findings()
    findings.read_secret = _no_file
    try:
        _read_text(text, where, {}, findings)
    except AdministratorError as error:
        findings.problems.add(in_one_line(error))
    clients = findings.conclude()
    if len(clients) != 1:
        raise AdministratorError(f"{where}: expected one client, not {len(clients)}", SEAL)
    return clients[0]


class _VanishedError(Exception):
    """A file is gone since its directory was listed; it may have another name now."""


def _read_all(configdir: Path, findings: _Findings) -> None:
    main, folder = configdir / "clients.conf", configdir / "clients.d"
    drop_ins = _drop_ins(folder, findings)
    defaults: _Defaults | None = {}
    if is_there(main):
        defaults = _read_file(main, defaults, findings)
    elif not drop_ins and not findings.problems:
        raise AdministratorError(
            f"{shown(main)} does not exist",
            f"create it, mode 0600, with a section per client; {SEAL}",
        )
    for path in drop_ins:
        _read_file(path, defaults, findings)


def _drop_ins(folder: Path, findings: _Findings) -> list[Path]:
    drop_ins: list[Path] = []
    try:
        names = list_folder(folder)
    except AdministratorError as error:
        findings.problems.add(in_one_line(error))
        return drop_ins
    for name in names:
        path = folder / name
        if name.endswith(".conf") and not name.startswith("."):
            drop_ins.append(path)
        else:
            text = f"{shown(path)} is ignored: only *.conf is read, and no dot files"
            findings.notices.add(logging.INFO, "name", text)
    return drop_ins


#: How the remarks on secrets begin.
OF_SECRETS = "the secret of"


def _read_file(path: Path, inherited: _Defaults | None, findings: _Findings) -> _Defaults | None:
    """Read the clients of a file; returns the defaults that hold there, None if unknown."""
    where = shown(path)
    try:
        return _read_text(_text_of(path, findings), where, inherited, findings)
    except AdministratorError as error:
        if not is_there(path):
            raise _VanishedError from error
        findings.problems.add(in_one_line(error))
        return None


def _read_text(
    text: str, where: str, inherited: _Defaults | None, findings: _Findings
) -> _Defaults | None:
    file = parse_ini(text, base64_option="secret")
    for problem in file.problems:
        findings.problems.add(f"{where}: line {problem.line}: {problem.text}")
    findings.skipped.update(dict.fromkeys(file.damaged))
    if inherited is None or not file.sound:
        findings.skipped.update((section.name, None) for section in file.sections)
        return None
    headless = {} if file.headless.keys() & _IDENTITY else file.headless
    written = {**headless, **file.defaults}
    own = {name: _Default(value, where) for name, value in written.items()}
    defaults = {**inherited, **own}
    references = {name.lower() for name in _NAMED.findall(text)}
    _tell_unknown(where, file.defaults, references, findings.notices)
    reader = _SectionReader(where, defaults, findings)
    file.sections.reverse()
    while file.sections:  # each is forgotten once it is read: together they are large
        section = file.sections.pop()
        _tell_unknown(where, section.options, references, findings.notices)
        reader.read(section)
    return defaults


def _text_of(path: Path, findings: _Findings) -> str:
    contents = read_file(path, FILE_LIMIT)
    if contents.exposed:
        remedy = f"run: chmod o-rwx {quoted(path)}"
        what = f"everyone can read {shown(path)}, which holds secrets; {remedy}"
        findings.notices.add(logging.WARNING, "exposed", what)
    return decode(contents.data, shown(path))


def _tell_unknown(
    where: str, options: Mapping[str, Value], references: Collection[str], notices: _Notices
) -> None:
    """Report unknown options; they are ignored, but other values may refer to them."""
    if options.keys() <= _KNOWN:
        return
    for previous, (name, value) in zip(("", *options), options.items(), strict=False):
        if name in _KNOWN:
            continue
        stray = previous == "secret" and may_end_base64(value.text)
        hint = "; is this a continuation of secret? then indent it" if stray else ""
        plain = plain_name(name, value.text)
        if not hint and name not in references:
            hint = spelling_hint(plain, _KNOWN)
        what = f"unknown option {plain}".rstrip() + f" is ignored{hint}"
        level = logging.WARNING if hint else logging.INFO
        notices.add(level, what, f"{where}: line {value.line}: {what}")


class _Notices:
    """Remarks: of each kind the first, and the number of all."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str, int]] = {}

    def add(self, level: int, kind: str, text: str) -> None:
        if len(self._found) >= _SHOWN and kind not in self._found:
            kind, text = "more", "there is more of this"
        level, text, count = self._found.get(kind, (level, text, 0))
        self._found[kind] = (level, text, count + 1)

    def tell(self) -> None:
        for level, text, count in self._found.values():
            log.log(level, "%s%s", text, f" (and {count - 1} more of these)" if count > 1 else "")


class _Problems:
    """All mistakes: the first ones in words, and the number of the others."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._told: set[str] = set()
        self._more = 0

    def __bool__(self) -> bool:
        return bool(self._texts)

    def add(self, text: str) -> None:
        """Note a problem; one of [DEFAULT] comes from many clients, and is noted once."""
        if text in self._told:
            return
        if len(self._texts) == _SHOWN:
            self._more += 1
            return
        self._texts.append(text)
        self._told.add(text)

    def all(self) -> list[str]:
        more = [f"and {self._more} more"] if self._more else []
        return self._texts + more

    def complain(self) -> None:
        if self._texts:
            raise AdministratorError("\n".join(self.all()), _MEND)


class _Findings:
    """The contents of all files; a place is a file and a line."""

    def __init__(self) -> None:
        self.notices = _Notices()
        self.problems = _Problems()
        self.read_secret: Callable[[str], bytes] = _from_file
        self.places: dict[str, tuple[str, int]] = {}
        self.owners: dict[str, str] = {}
        self.clients: list[ClientSettings] = []
        self.skipped: dict[str, None] = {}  # an ordered set
        self._never: list[str] = []
        self._hostless: list[str] = []
        self._doubtful: dict[str, list[str]] = {}

    def take(self, client: ClientSettings) -> None:
        self.clients.append(client)
        if not client.approved_by_default and not client.approval_delay:
            self._never.append(client.name)
        if not client.host and "%(host)s" in client.checker:
            self._hostless.append(client.name)
        if doubt := warning_about(client.secret):
            self._doubtful.setdefault(doubt, []).append(client.name)

    def conclude(self) -> list[ClientSettings]:
        """Log the remarks, then raise the problems or return the clients."""
        if self.problems:
            self.notices.tell()
        self.problems.complain()
        self.remark()
        return self.clients

    def remark(self) -> None:
        """Log the remarks."""
        self.notices.tell()
        for doubt, names in self._doubtful.items():
            log.warning("%s %s: %s", OF_SECRETS, _some(names), doubt)
        if self._never:
            log.warning(
                "approved_by_default is off and approval_delay is none: unless somebody approves "
                "it within approval_duration before it asks, nothing is ever sent to %s",
                _some(self._never),
            )
        if self._hostless:
            log.warning(
                "host is missing, and the checker needs it: no check will succeed, and the timeout "
                "will disable %s",
                _some(self._hostless),
            )


def _some(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


class _SectionReader:
    """Turns the sections of one file into clients."""

    def __init__(self, where: str, defaults: _Defaults, findings: _Findings) -> None:
        self._where = where
        self._defaults = defaults
        self._values = {name: default.value for name, default in defaults.items()}
        self._constants = dict(self._constant_defaults())
        self._varying = self._values.keys() & READERS.keys() - self._constants.keys()
        self._findings = findings
        self._sound = True

    def read(self, section: Section) -> None:
        """Take the client that a section describes, or note its mistakes."""
        self._sound = True
        options = {**self._values, **section.options}
        values: dict[str, Any] = dict(self._constants)
        for name in (*section.options, *(self._varying - section.options.keys())):
            if name in READERS:
                values[name] = self._value(section, name, READERS[name], options)
        values["secret"] = self._secret(section, options)
        self._claim(section, values.get("key_id", ""))
        if (values.get("key_id", ""), values.get("fingerprint", "")) == ("", ""):
            self._problem(section, section.line, f"key_id is missing; {SEAL}")
        if self._sound:
            self._findings.take(ClientSettings(name=section.name, **values))
        else:
            self._findings.skipped[section.name] = None

    def _constant_defaults(self) -> Iterator[tuple[str, object]]:
        """Read once the defaults that are the same for all clients; mistakes count when used."""
        for name, value in self._values.items():
            if name in READERS and "%" not in value.text.replace("%%", ""):
                with contextlib.suppress(AdministratorError, ValueError):
                    yield name, READERS[name](expand(value.text, {}))

    def _value(
        self,
        section: Section,
        name: str,
        read: Callable[[str], object],
        options: Mapping[str, Value],
    ) -> Any:  # noqa: ANN401 - the option decides the type
        value = options[name]
        if name in _TEXTS and _COMMENT.search(value.text):
            what = f"{name}: the comment is part of the value: {_first_line(value)!r}"
            text = f"{self._where}: line {value.line}: {label(section.name)} {what}"
            self._findings.notices.add(logging.WARNING, text, text)
        comment = _COMMENT_HINT if _COMMENT.search(value.text) else ""
        try:
            return read(expand(value.text, options))
        except AdministratorError as error:
            self._wrong(section, name, value, _reason(name, value, error) + comment)
        except ValueError as error:
            quoted = "" if name == "secret" else f", not {_first_line(value)!r}"
            self._wrong(section, name, value, f"expected {error}{quoted}{comment}")
        return None

    def _secret(self, section: Section, options: Mapping[str, Value]) -> Any:  # noqa: ANN401
        readers = {"secret": PARSERS[ValueKind.SECRET], "secfile": self._findings.read_secret}
        for name, read in readers.items():
            if name in options:
                return self._value(section, name, read, options)
        self._problem(section, section.line, f"secret (or secfile) is missing; {SEAL}")
        return None

    def _claim(self, section: Section, key_id: str | None) -> None:
        """Note where a name and a key ID are used; each may be used once in all files."""
        if not section.name.isprintable():
            self._problem(section, section.line, "expected a name without control characters")
        if (size := len(section.name.encode(errors="replace"))) > CLIENT_NAME_LIMIT:
            what = f"the name has {size} bytes, more than {CLIENT_NAME_LIMIT}: choose a shorter one"
            self._problem(section, section.line, what)
        place = (self._where, section.line)
        first = self._findings.places.setdefault(section.name, place)
        if first is not place:
            what = "there is a client of this name already: {}: line {}".format(*first)
            self._problem(section, section.line, what)
        elif key_id:
            self._claim_key_id(section, key_id)

    def _claim_key_id(self, section: Section, key_id: str) -> None:
        owner = self._findings.owners.setdefault(key_id, section.name)
        if owner != section.name:
            own = section.options.get("key_id")
            first = "{}: line {}: {}".format(*self._findings.places[owner], label(owner))
            line = own.line if own else section.line
            self._problem(section, line, f"key_id: the same as that of {first}")

    def _wrong(self, section: Section, name: str, value: Value, reason: str) -> None:
        """Note a wrong value at the place where it stands."""
        if value is section.options.get(name):
            self._problem(section, value.line, f"{name}: {reason}")
            return
        self._sound = False
        place = f"{self._defaults[name].where}: line {value.line}: [{DEFAULT}]"
        whose = f" (for {label(section.name)})" if "%" in value.text else ""
        self._findings.problems.add(f"{place} {name}: {reason}{whose}")

    def _problem(self, section: Section, line: int, problem: str) -> None:
        self._sound = False
        self._findings.problems.add(f"{self._where}: line {line}: {label(section.name)} {problem}")


def _reason(name: str, value: Value, error: AdministratorError) -> str:
    """The text of an error, unless it might quote the value's other lines."""
    if name in _DISCREET or not {"\n", "%"} & set(value.text):
        shown_whole = name == "secfile" or isinstance(error, DurationError)
        return in_one_line(error) if shown_whole else str(error)
    return f"{_first_line(value)!r} is not valid"


def _first_line(value: Value) -> str:
    """The part of a value that may be shown: further lines are more likely a misplaced secret."""
    return value.text.partition("\n")[0][:_VALUE_SHOWN]


def _from_file(name: str) -> bytes:
    if "\n" in name:
        raise AdministratorError("expected the name of a file; base64 lines belong to secret")
    path = Path(os.path.expandvars(os.path.expanduser(name)))  # noqa: PTH111 - both in one form
    secret = read_file(path, grammar.SECRET_LIMIT).data
    if not secret:
        raise AdministratorError(f"{shown(path)} is empty")
    return secret


def _no_file(name: str) -> bytes:  # noqa: ARG001 - as _from_file
    raise AdministratorError("expected secret here: the server reads no file for others")
