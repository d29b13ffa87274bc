# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of plugin-runner, from its command line and its configuration file.

Manual page plugin-runner(8mandos), "OPTIONS" and "FILES".  A mistake on the command line ends the
program, as everywhere.  Invalid lines of the file are reported and skipped: no one can correct them
at boot, and the machine must come up.
"""

from __future__ import annotations

import os

from mandos.errors import UsageError
from mandos.options import CommandLine, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mandos.options import ParsedOptions
    from mandos.program import Say

CONFIG_FILE = "/conf/conf.d/mandos/plugin-runner.conf"
NOBODY = 65534
HELPER_VARIABLE = "MANDOSPLUGINHELPERDIR"
_CONFIG_LIMIT = 1 << 20  # bytes
_ID_LIMIT = 0xFFFFFFFF  # (uid_t)-1 changes nothing: setresuid(2)

COMMAND_LINE = CommandLine(
    "plugin-runner",
    "Runs all plugins, prints the password of the first that succeeds, and ends the others.",
    (
        Option("global-env", "G", "ENV=VALUE", "set this in the environment of all plugins"),
        Option("env-for", "E", "PLUGIN:ENV=VALUE", "set this in the environment of one plugin"),
        Option("global-options", "g", "OPTION[,OPTION...]", "pass these options to all plugins"),
        Option("options-for", "o", "PLUGIN:OPTION[,...]", "pass these options to one plugin"),
        Option("disable", "d", "PLUGIN", "do not start this plugin"),
        Option("enable", "e", "PLUGIN", "start this plugin despite --disable"),
        Option("groupid", "", "ID", f"group that the plugins run as ({NOBODY})"),
        Option("userid", "", "ID", f"user that the plugins run as ({NOBODY})"),
        Option("plugin-dir", "", "DIR", "directory of the plugins"),
        Option("plugin-helper-dir", "", "DIR", "directory of the plugins' helpers"),
        Option("config-file", "", "FILE", "read more options from this file"),
        Option("debug", "", None, "log each step on standard error"),
    ),
    "[KEY]",
)


class RunnerSettings:
    """Settings of one run of plugin-runner; valid once built."""

    __slots__ = (
        "_disabled", "_environments", "_global_environment", "_global_options", "_options",
        "debug", "group", "helper_dir", "plugin_dir", "user",
    )  # fmt: skip

    def __init__(self, given: ParsedOptions, say: Say) -> None:
        self.debug = "debug" in given
        self.plugin_dir = given.text("plugin-dir", "/lib/mandos/plugins.d")
        self.helper_dir = given.text("plugin-helper-dir", "/lib/mandos/plugin-helpers")
        self.user = _id(given, "userid", say)
        self.group = _id(given, "groupid", say)
        self._global_environment = [_variable(text) for text in given.all("global-env")]
        self._environments = [
            (plugin, _variable(text)) for plugin, text in _of_plugins(given, "env-for")
        ]
        self._global_options = given.all("global-options")
        self._options = _of_plugins(given, "options-for")
        self._disabled = _disabled(given)

    def starts(self, plugin: str) -> bool:
        """Whether the plugin of this name may be started."""
        return plugin not in self._disabled

    def arguments(self, plugin: str) -> list[str]:
        """The plugin's own options, then those for all."""
        own = [words for name, words in self._options if name == plugin]
        return [word for words in own + self._global_options if words for word in words.split(",")]

    def environment(self, plugin: str, inherited: Mapping[str, str]) -> dict[str, str]:
        """The plugin's environment: a setting for this plugin overrides one for all plugins."""
        own = [variable for name, variable in self._environments if name == plugin]
        helpers = (HELPER_VARIABLE, self.helper_dir)
        return {**inherited, **dict([*self._global_environment, helpers, *own])}

    def unknown(self, plugins: set[str]) -> set[str]:
        """Plugins that options name, but that are not there."""
        named = {name for name, _ in self._options} | {name for name, _ in self._environments}
        return (named | self._disabled) - plugins


def read_settings(given: ParsedOptions, say: Say) -> RunnerSettings:
    """Put the configuration file's options before those of the command line.

    Errors in the file are reported; an error on the command line raises UsageError.  One
    word there may be no option: a keyscript gets the third field of crypttab(5), such as "none".
    """
    for word in given.operands[1:]:
        raise UsageError(f"{word!r} is not an option", f"see {COMMAND_LINE.program} --help")
    RunnerSettings(given, _keep_quiet)  # so that a mistake there is not taken for one of the file
    path = given.text("config-file", CONFIG_FILE)
    words = _config_words(path, say, required="config-file" in given)
    filed, errors = COMMAND_LINE.parse_lenient(words)
    for error in errors:
        say(f"{path}: {' - '.join(error.lines())}; ignored")
    for word in filed.operands:
        say(f"{path}: {word!r} is not an option; ignored")
    return RunnerSettings(_usable(filed, path, say) + given, say)


def split_config(text: str) -> list[str]:
    """The words of a configuration file, without comments: "FILES" in the manual page."""
    return [word for line in text.split("\n") for word in line.partition("#")[0].split()]


def _config_words(path: str, say: Say, *, required: bool) -> list[str]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is expensive at boot
            data = file.read(_CONFIG_LIMIT + 1)
    except OSError as error:
        if required or not isinstance(error, FileNotFoundError):
            say(f"cannot read {path}: {error.strerror}; going on without it")
        return []
    if len(data) > _CONFIG_LIMIT or b"\0" in data:
        say(f"{path} is no configuration file; going on without it")
        return []
    return split_config(os.fsdecode(data))


def _usable(filed: ParsedOptions, path: str, say: Say) -> ParsedOptions:
    """The file's options without those whose values are wrong."""
    pairs = []
    for pair in filed.pairs:
        try:
            RunnerSettings(type(filed)([pair]), _keep_quiet)
            pairs.append(pair)
        except UsageError as error:
            say(f"{path}: {error}; ignored")
    return type(filed)(pairs)


def _keep_quiet(_message: str) -> None:
    pass


def _id(given: ParsedOptions, name: str, say: Say) -> int:
    text = given.text(name, str(NOBODY))
    if text.isascii() and text.isdigit() and int(text) < _ID_LIMIT:
        return int(text)
    say(f"--{name} takes a number, not {text!r}; using {NOBODY}")
    return NOBODY


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"{text!r} sets no environment variable", "write NAME=value")
    return name, value


def _of_plugins(given: ParsedOptions, option: str) -> list[tuple[str, str]]:
    parts = [text.partition(":") for text in given.all(option)]
    for plugin, colon, rest in parts:
        if not (plugin and colon):
            raise UsageError(f"--{option} takes PLUGIN:VALUE, not {plugin + colon + rest!r}")
    return [(plugin, rest) for plugin, _colon, rest in parts]


def _disabled(given: ParsedOptions) -> set[str]:
    disabled: set[str] = set()
    for option, plugin in given.pairs:
        if option == "disable":
            disabled.add(plugin)
        elif option == "enable":
            disabled.discard(plugin)
    return disabled
