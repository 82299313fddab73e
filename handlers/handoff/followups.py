"""Step R90: which proposed tasks are created and which are held. Numbers stop a runaway, not trust.

Depth ≤ 2, ≤ 5 for a return, ≤ 20 a day, one task for an intent key, no paraphrase of a task that is there
(one system made 18 paraphrases of one task; research/dispatch.md §2.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from daemon.core.text import one_line, visible
from daemon.sdk import BlockedError, Draft, Status
from handlers.handoff.agents import AgentSettings, find
from handlers.handoff.compile import iso
from handlers.handoff.disk import pretty, read_json, sha256, write_once
from handlers.handoff.lint import similar
from handlers.handoff.model import FollowUp, Packet, Return
from handlers.handoff.packets import make_private

MAX_DEPTH = 2
MAX_A_DAY = 20
SAME = 0.8
"""Jaccard similarity of two titles from which they count as one task."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One proposal. ``why`` not empty = held for that reason."""

    key: str
    proposal: FollowUp
    agent: str = ""
    why: str = ""


def plan(
    ret: Return, packet: Packet, known: Mapping[str, AgentSettings], made_today: Sequence[Mapping[str, str]]
) -> list[Planned]:
    """Decide for every proposal. ``made_today``: {"key", "title"} of follow-ups that were created today."""
    out: list[Planned] = []
    titles = [packet.title, *(m["title"] for m in made_today if m["key"] not in _keys(ret, packet))]
    seen: set[str] = set()
    today = {m["key"] for m in made_today}
    room = min(packet.follow_ups_allowed, MAX_A_DAY - len(today - _keys(ret, packet)))
    for item in ret.follow_ups:
        key = key_of(packet, item)
        agent, why = _agent(item, packet, known)
        made = sum(1 for p in out if not p.why)
        if key in seen:
            why = "the same intent_key twice in one return"
        elif packet.lineage.depth + 1 > MAX_DEPTH:
            why = f"depth {packet.lineage.depth + 1}: at most {MAX_DEPTH}"
        elif made >= packet.follow_ups_allowed:
            why = f"more than {packet.follow_ups_allowed} for one return"
        elif made >= room:
            why = f"more than {MAX_A_DAY} today"
        elif twin := next((t for t in titles if similar(t, item.title) >= SAME), ""):
            why = f"much like “{one_line(twin, 80)}”"
        if not why:
            titles.append(item.title)
        seen.add(key)
        out.append(Planned(key=key, proposal=item, agent=agent, why=why))
    return out


def _keys(ret: Return, packet: Packet) -> set[str]:
    return {key_of(packet, item) for item in ret.follow_ups}


def key_of(packet: Packet, item: FollowUp) -> str:
    """Source key: one intent below one root task is one task, whoever proposes it and however often."""
    return f"follow-up:{packet.lineage.root}:{item.intent_key}"


def _agent(item: FollowUp, packet: Packet, known: Mapping[str, AgentSettings]) -> tuple[str, str]:
    if not item.suggested_agent.strip():
        return packet.agent, ""
    try:
        return find([item.suggested_agent], known), ""
    except BlockedError as err:
        return "", err.message


def draft(planned: Planned, packet: Packet) -> Draft:
    """The task to create. Without criteria it is a Draft that a person completes; nothing runs unproved."""
    item = planned.proposal
    lines = [
        f"agent = {msgspec.json.encode(planned.agent).decode()}",
        f'root = "{packet.lineage.root}"',
        f'parent = "{packet.task_id}"',
        f"depth = {packet.lineage.depth + 1}",
    ]
    text = f"Proposed by {packet.agent} in its return for {packet.task_url or packet.task_id}."
    return Draft(
        title=one_line(item.title, 200),
        status=Status.READY if item.criteria else Status.DRAFT,
        handler="handoff",
        agent=planned.agent,
        description=f"{text}\n\n{visible(item.why)}".strip(),
        parameters="\n".join(lines),
        acceptance=tuple(one_line(c, 200) for c in item.criteria),
    )


def _day(home: Path, now: float) -> Path:
    return home / "agents" / ".ledger" / "follow-ups" / iso(now)[:10]


def today(home: Path, now: float) -> list[dict[str, str]]:
    """What was created on the UTC day of ``now``."""
    folder = _day(home, now)
    if not folder.is_dir():
        return []
    marks = [read_json(p) for p in sorted(folder.glob("*.json"))]
    return [{"key": str(m.get("key", "")), "title": str(m.get("title", ""))} for m in marks]


def note(home: Path, planned: Planned, task: str, now: float) -> None:
    """Count one creation; the same key counts once."""
    folder = _day(home, now)
    make_private(folder, home)
    mark = {"key": planned.key, "title": planned.proposal.title, "task": task}
    write_once(folder / f"{sha256(planned.key.encode())[:32]}.json", pretty(mark))
