"""What is new in a packet's folder. Looks only; what was dealt with is known by the marks the daemon left.

ACK.json         → ACK.accepted.json | ACK.rejected-<n>.json
RETURN.json      → RETURN.rejected-<n>.json | receipt.json
REFUSE.json      → REFUSE.accepted.json | REFUSE.rejected-<n>.json
QUESTION-<k>.json→ QUESTION-<k>.accepted.json | QUESTION-<k>.rejected-<n>.json, then ANSWER-<k>.json
deadlines        → NUDGE-<n>.json, or the ledger's mark that ends the delivery
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from daemon.core.text import visible
from handlers.handoff import ladder
from handlers.handoff.agents import AgentSettings
from handlers.handoff.compile import epoch
from handlers.handoff.disk import sha256
from handlers.handoff.intake import STABLE_S, identify, signature
from handlers.handoff.packets import Ledger, marker, numbered

ENDS = ("CANCEL", "REFUSE.accepted.json")
"""Marks after which no deadline counts any more; a late file is still answered."""

Kind = Literal["ack", "return", "refuse", "question", "answer", "deadline", "lost"]


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One new thing. ``name``: the file; ``token`` identifies it, so that it is dealt with once."""

    kind: Kind
    name: str
    mark: str
    """SHA-256 of the file, or of the answer's text; the rung for a deadline."""
    phase: str = ""
    to: str = ""
    at: float = 0.0
    """Modification time of the file: the same words put there again are a new arrival."""

    @property
    def token(self) -> str:
        return f"{self.kind}:{self.name}:{self.at:.3f}:{self.mark[:32]}"


def look(
    packet: Path | None, ledger: Ledger, agent: AgentSettings, next_step: str, now: float
) -> Arrival | None:
    """The next thing to deal with, in the order ack, refusal, return, question, answer, deadline."""
    if packet is None:
        return Arrival(kind="lost", name=ledger.name, mark=ledger.handoff_sha256)
    if (packet / "receipt.json").exists():
        return None
    names: list[tuple[Kind, str]] = [("ack", "ACK"), ("refuse", "REFUSE"), ("return", "RETURN")]
    names += [("question", p.stem) for p in numbered(packet, "QUESTION-")]
    for kind, stem in names:
        mark = unseen(packet, stem, now)
        if mark:
            there = signature(packet / f"{stem}.json")
            return Arrival(kind=kind, name=stem, mark=mark, at=there[1] if there else 0.0)
    answer = open_answer(packet, next_step)
    if answer is not None:
        return answer
    if any((packet / name).exists() for name in ENDS):
        return None
    overdue = ladder.due(now, watch(packet, ledger), limits(ledger, agent))
    if overdue is None:
        return None
    return Arrival(
        kind="deadline",
        name=f"{overdue.rung.value}-{overdue.at:.0f}",
        mark=overdue.rung.value,
        phase=overdue.phase.value,
        to=overdue.to,
    )


def unseen(packet: Path, stem: str, now: float) -> str:
    """SHA-256 of ``<stem>.json`` when it is stable and was not dealt with; else ""."""
    path = packet / f"{stem}.json"
    there = signature(path)
    # A time in the future is another machine's clock, not a file that is still being written.
    if there is None or abs(now - there[1]) < STABLE_S:
        return ""
    mark = identify(path)
    seen = {str(marker(packet, f"{stem}.accepted.json").get("sha256", ""))}
    seen |= {str(marker(packet, p.name).get("sha256", "")) for p in numbered(packet, f"{stem}.rejected-")}
    return "" if mark in seen else mark


def open_questions(packet: Path) -> list[dict[str, object]]:
    """Accepted questions without an answer, oldest first; each is its mark with ``number`` added."""
    out = []
    for path in numbered(packet, "QUESTION-"):
        number = int(path.stem.removeprefix("QUESTION-"))
        mark = marker(packet, f"QUESTION-{number}.accepted.json")
        if mark and not (packet / f"ANSWER-{number}.json").exists():
            out.append({**mark, "number": number})
    return out


def open_answer(packet: Path, next_step: str) -> Arrival | None:
    """A person's answer: given through a door, or by changing Next Required Step after the question came."""
    for path in numbered(packet, "ANSWER-"):
        mark = unseen(packet, path.stem, float("inf"))
        if mark:
            return Arrival(kind="answer", name=path.stem, mark=mark)
    text = visible(next_step).strip()
    for question in open_questions(packet):
        if text and text != str(question.get("next_step", "")):
            return Arrival(kind="answer", name=f"ANSWER-{question['number']}", mark=sha256(text.encode()))
    return None


def watch(packet: Path, ledger: Ledger) -> ladder.Watch:
    """The times that the ladder judges, read from the marks."""
    rejected = [_when(packet, p.name) for p in numbered(packet, "RETURN.rejected-")]
    answers = [_when(packet, f"{p.stem}.accepted.json") for p in numbered(packet, "ANSWER-")]
    beat = signature(packet / "HEARTBEAT")
    return ladder.Watch(
        delivered=epoch(ledger.packet.created_at),
        acknowledged=_when(packet, "ACK.accepted.json"),
        rejected=rejected[-1] if rejected else None,
        sign=beat[1] if beat else None,
        asked=any(q.get("blocks", True) for q in open_questions(packet)),
        answered=max((a for a in answers if a is not None), default=None),
        nudged=_nudges(packet),
    )


def _nudges(packet: Path) -> tuple[tuple[ladder.Phase, float], ...]:
    marks = [marker(packet, p.name) for p in numbered(packet, "NUDGE-")]
    return tuple(
        (phase, float(m["at_s"]))
        for m in marks
        for phase in ladder.Phase
        if m.get("phase") == phase.value and isinstance(m.get("at_s"), int | float)
    )


def _when(packet: Path, name: str) -> float | None:
    """The time in a mark of the daemon's; None when there is none that can be read."""
    try:
        return epoch(str(marker(packet, name)["at"]))
    except (KeyError, ValueError):
        return None


def limits(ledger: Ledger, agent: AgentSettings) -> ladder.Limits:
    """The agent's limits, for this delivery."""
    return ladder.Limits(
        ack_within=agent.ack_within,
        time_limit=agent.time_limit,
        silence_limit=agent.silence_limit,
        fix_window=agent.fix_window,
        deliveries=agent.deliveries,
        delivery=ledger.delivery,
        others=tuple(s for s in ledger.packet.escalation if s != ledger.packet.agent),
    )
