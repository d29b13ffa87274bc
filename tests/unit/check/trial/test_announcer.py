# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client takes the announcement, and its questions are the ones that are answered."""

from __future__ import annotations

import socket

import pytest

from mandos.check.trial.announcer import MAX_SERVICES, Service, concerns, response
from mandos.discovery.browse import Browser
from mandos.discovery.messages import PTR, Question, encode_name, read_message

ADDRESS = "fe80::4d:616e"
PACKED = socket.inet_pton(socket.AF_INET6, ADDRESS)


def test_client_finds_every_service() -> None:
    """Each service becomes an endpoint at the address, with its own port."""
    services = [Service("Mandos 1", 4711), Service("Mandos 2", 4712)]
    found = Browser().receive(response(services, PACKED), 3, ("fe80::1", 5353))
    assert {(one.name, one.address, one.port, one.interface) for one in found} == {
        ("Mandos 1", ADDRESS, 4711, 3),
        ("Mandos 2", ADDRESS, 4712, 3),
    }


def test_answer_repeats_the_identifier() -> None:
    """As a direct answer must: RFC 6762, section 6.7."""
    assert response([Service("Mandos 1", 4711)], PACKED, 0xABCD)[:2] == b"\xab\xcd"


def test_most_services_fit_into_a_packet() -> None:
    """The largest announcement fits the link's 1500 bytes, IPv6 and UDP headers included."""
    services = [Service(f"Mandos {number}", 40000 + number) for number in range(MAX_SERVICES + 9)]
    packet = response(services, PACKED)
    assert len(packet) <= 1500 - 48
    assert len([one for one in read_message(packet).records if one.type == PTR]) == MAX_SERVICES


def test_clients_question_concerns() -> None:
    """The query of the client's browser is answered."""
    assert concerns(read_message(Browser().query()).questions)


@pytest.mark.parametrize("name", [("_ssh", "_tcp", "local"), ("guest", "local")])
def test_other_question_does_not(name: tuple[str, ...]) -> None:
    """Another service, or another host."""
    assert not concerns([Question(encode_name(*name), PTR)])
