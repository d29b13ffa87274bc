# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML that describes an object: D-Bus specification, "Introspection Data Format".

Names and signatures of D-Bus have no character that XML would have quoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos import bus_names
from mandos.bus_names import Argument, Interface, Method, Property, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    '"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)
_DEPRECATED = '<annotation name="org.freedesktop.DBus.Deprecated" value="true"/>'
_EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def _arguments(*pairs: str) -> tuple[Argument, ...]:
    return tuple(Argument(*pair.split()) for pair in pairs)


#: The interfaces of the D-Bus specification that our objects have, as callers may see them.
INTROSPECTABLE = Interface(
    bus_names.INTROSPECTABLE, {"Introspect": Method(returns=_arguments("s xml_data"))}, {}, {}
)
PROPERTIES = Interface(
    bus_names.PROPERTIES,
    {
        "Get": Method(_arguments("s interface_name", "s property_name"), _arguments("v value")),
        "Set": Method(_arguments("s interface_name", "s property_name", "v value")),
        "GetAll": Method(_arguments("s interface_name"), _arguments("a{sv} props")),
    },
    {
        "PropertiesChanged": Signal(
            _arguments("s interface_name", "a{sv} changed_properties", "as invalidated_properties")
        )
    },
    {},
)
OBJECT_MANAGER = Interface(
    bus_names.OBJECT_MANAGER,
    {
        "GetManagedObjects": Method(
            returns=_arguments("a{oa{sa{sv}}} objpath_interfaces_and_properties")
        )
    },
    {
        "InterfacesAdded": Signal(
            _arguments("o object_path", "a{sa{sv}} interfaces_and_properties")
        ),
        "InterfacesRemoved": Signal(_arguments("o object_path", "as interfaces")),
    },
    {},
)
ROOT = (INTROSPECTABLE, PROPERTIES, OBJECT_MANAGER, *bus_names.ROOT_INTERFACES)
CLIENT = (INTROSPECTABLE, PROPERTIES, *bus_names.CLIENT_INTERFACES)


def describe(interfaces: Iterable[Interface], children: Iterable[str] = ()) -> str:
    """The XML of an object with these interfaces and children."""
    lines = [_HEAD + "<node>"]
    for interface in interfaces:
        lines.append(f'  <interface name="{interface.name}">')
        lines += (f"    {line}" for line in _members(interface))
        lines.append("  </interface>")
    lines += (f'  <node name="{child}"/>' for child in children)
    return "\n".join((*lines, "</node>", ""))


def _members(interface: Interface) -> Iterator[str]:
    for name, method in interface.methods.items():
        arguments = [_argument(one, ' direction="in"') for one in method.takes]
        arguments += (_argument(one, ' direction="out"') for one in method.returns)
        yield _member("method", name, arguments, deprecated=method.deprecated)
    for name, signal in interface.signals.items():
        arguments = [_argument(one, "") for one in signal.carries]
        yield _member("signal", name, arguments, deprecated=signal.deprecated)
    for name, one in interface.properties.items():
        yield _property(name, one)


def _argument(argument: Argument, direction: str) -> str:
    name = f' name="{argument.name}"' if argument.name else ""
    return f'<arg type="{argument.signature}"{name}{direction}/>'


def _member(kind: str, name: str, content: list[str], *, deprecated: bool) -> str:
    if deprecated:
        content.append(_DEPRECATED)
    return f'<{kind} name="{name}">' + "".join(content) + f"</{kind}>"


def _property(name: str, one: Property) -> str:
    content = ""
    if one.emits != bus_names.EMITS:
        content += f'<annotation name="{_EMITS}" value="{one.emits}"/>'
    if one.deprecated:
        content += _DEPRECATED
    attributes = f'name="{name}" type="{one.signature}" access="{one.access}"'
    return f"<property {attributes}>{content}</property>"
