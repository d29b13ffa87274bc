# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of several broken links, the causes stay broken."""

from __future__ import annotations

from mandos.check.findings import Finding, Link, Verdict, settled

KEYS = Finding(Link.KEYS, Verdict.BROKEN, "the image has other keys", meaning="m", cure="c")
REFUSED = Finding(Link.SERVER, Verdict.BROKEN, "no client has this key", cause=Link.KEYS)
DISABLED = Finding(Link.SERVER, Verdict.BROKEN, "the client is disabled")
FINE = Finding(Link.NETWORK, Verdict.OK, "eth0 can be used")


def _verdicts(*found: Finding, opened: bool = False) -> list[Verdict]:
    return [finding.verdict for finding in settled(found, opened=opened)]


def test_consequence_is_a_warning() -> None:
    """A server refuses the key, since the image has another one: the keys are the broken link."""
    first, second = settled([KEYS, REFUSED], opened=False)
    assert first == KEYS
    assert (second.verdict, second.cure) == (Verdict.WARNING, "")
    assert second.meaning == "a consequence of the broken link: keys"


def test_without_the_cause_it_is_broken() -> None:
    """The same refusal of keys that are in order."""
    assert _verdicts(REFUSED, FINE) == [Verdict.BROKEN, Verdict.OK]


def test_other_faults_stay_broken() -> None:
    """Two independent faults are both named."""
    assert _verdicts(KEYS, DISABLED) == [Verdict.BROKEN, Verdict.BROKEN]


def test_keys_that_have_opened_the_disks() -> None:
    """A boot with the image's keys succeeds: those beside the image are for later ones."""
    warned, refused, disabled = settled([KEYS, REFUSED, DISABLED], opened=True)
    assert warned.verdict is Verdict.WARNING
    assert warned.meaning.startswith("the next boot comes up with the keys in the image")
    assert warned.cure == "c"
    assert (refused, disabled) == (REFUSED, DISABLED)
