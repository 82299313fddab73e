"""Gates laid out under a kind's numbered sections, as the reference report has them. Pure.

The template lists phases and sections with the gates that belong to each; a gate that no section names is
put at the end of the phase of its group, so nothing measured is left out, whatever a handler declares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.reports.view import GateView, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """``number`` as printed ("0.1"). ``shows`` names an extra block that the template prints here."""

    number: str
    title: str
    gates: tuple[GateView, ...]
    shows: str
    applies: bool = True
    """False: its gates do not apply to this task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase with its numbered sections."""

    number: str
    title: str
    sections: tuple[Section, ...]


def outline(report: View, phases: Sequence[Mapping[str, Any]]) -> list[Phase]:
    """``phases``: {"number", "title", "groups", "sections": [{"title", "gates", "shows"}]} in order.

    ``gates`` and ``groups`` are compared without case, spaces, dots, dashes and underscores.
    """
    named = {_key(g) for p in phases for s in p.get("sections", ()) for g in s.get("gates", ())}
    groups = [{_key(g) for g in p.get("groups", ())} for p in phases]
    made = []
    for phase, mine in zip(phases, groups, strict=True):
        sections = [_section(phase, i, s, report) for i, s in enumerate(phase.get("sections", ()), 1)]
        rest = [g for g in report.gates if _key(g.name) not in named and _key(g.group) in mine]
        for gate in rest:
            number = f"{phase['number']}.{len(sections) + 1}"
            sections.append(Section(number=number, title=gate.title, gates=(gate,), shows=""))
        made.append(Phase(number=str(phase["number"]), title=str(phase["title"]), sections=tuple(sections)))
    known = set().union(*groups) if groups else set()
    loose = [g for g in report.gates if _key(g.name) not in named and _key(g.group) not in known]
    if loose:
        last = str(len(made))
        sections = [
            Section(number=f"{last}.{i}", title=g.title, gates=(g,), shows="") for i, g in enumerate(loose, 1)
        ]
        made.append(Phase(number=last, title="Other Gates", sections=tuple(sections)))
    return made


def _section(phase: Mapping[str, Any], position: int, section: Mapping[str, Any], report: View) -> Section:
    wanted = list(dict.fromkeys(_key(g) for g in section.get("gates", ())))  # two spellings are one gate
    found = [g for w in wanted for g in report.gates if _key(g.name) == w]
    return Section(
        number=f"{phase['number']}.{position}",
        title=str(section["title"]),
        gates=tuple(found),
        shows=str(section.get("shows") or ""),
        applies=bool(found) or not any(_key(name) in wanted for name in report.beside),
    )


def _key(text: str) -> str:
    return re.sub(r"[\s._-]+", "", text.lower())
