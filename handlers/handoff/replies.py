"""Dealing with an acknowledgement, a question, an answer, a refusal and a passed deadline.

Each is idempotent: its mark beside the agent's file carries the file's SHA-256, and a mark that is there is
not made again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daemon.core.text import one_line, visible
from daemon.sdk import Context, Task
from handlers.handoff import packets, verify
from handlers.handoff.arrivals import Arrival
from handlers.handoff.compile import iso
from handlers.handoff.disk import pretty, write_once, write_over
from handlers.handoff.intake import Refused, identify, receive, typed
from handlers.handoff.model import Ack, Finding, Question, Refusal, Reply
from handlers.handoff.packets import Ledger, marker, numbered

R = TypeVar("R", bound=Reply)


class Dealt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an arrival. ``text`` is for the page; ``mark`` names the file that the daemon left."""

    accepted: bool
    mark: str
    sha256: str
    text: str
    code: str = ""
    detail: dict[str, Any] = {}


def reject(
    packet: Path, stem: str, sha: str, findings: tuple[Finding, ...], now: float, extra: dict[str, Any]
) -> str:
    """Write ``<stem>.rejected-<n>.json`` for this content once; gives its name."""
    for path in numbered(packet, f"{stem}.rejected-"):
        if marker(packet, path.name).get("sha256") == sha:
            return path.name
    number = len(numbered(packet, f"{stem}.rejected-")) + 1
    first = findings[0]
    note = {
        "sha256": sha,
        "at": iso(now),
        **msgspec.to_builtins(first),
        "also": [msgspec.to_builtins(f) for f in findings[1:20]],
        **extra,
    }
    name = f"{stem}.rejected-{number}.json"
    write_once(packet / name, pretty(note))
    return name


def _read(packet: Path, stem: str, kind: type[R], ledger: Ledger) -> tuple[str, R]:
    path = packet / f"{stem}.json"
    received = receive(path)
    reply = typed(received.doc, kind)
    problems = [
        *verify.identity(reply, ledger.packet),
        *verify.fenced(reply, ledger.packet, cancelled=(packet / "CANCEL").exists()),
    ]
    if problems:
        raise Refused(*problems)
    return received.sha256, reply


def _refused(packet: Path, stem: str, err: Refused, now: float) -> Dealt:
    sha = identify(packet / f"{stem}.json")
    name = reject(packet, stem, sha, err.findings, now, {})
    first = err.findings[0]
    text = f"{stem}.json was refused: {first.code} {first.name}, {first.field}: {first.expected}"
    return Dealt(accepted=False, mark=name, sha256=sha, text=one_line(text, 600), code=first.code)


def acknowledge(packet: Path, ledger: Ledger, now: float) -> Dealt:
    """First valid acknowledgement wins; a later one is told who did."""
    try:
        sha, ack = _read(packet, "ACK", Ack, ledger)
    except Refused as err:
        return _refused(packet, "ACK", err, now)
    note = {
        "sha256": sha,
        "at": iso(now),
        "agent": one_line(ack.agent, 120),
        "session": one_line(ack.session, 200),
        "understood": one_line(ack.understood, 600),
    }
    won = marker(packet, "ACK.accepted.json")
    if not won and write_once(packet / "ACK.accepted.json", pretty(note)):
        won = note
    if won.get("sha256") != sha:
        extra = {"winner": won.get("agent"), "winner_session": won.get("session")}
        late = Finding(
            code="R30",
            name="fenced",
            field="ACK.json",
            expected=f"a handoff that nobody has taken; {won.get('agent')} has",
            got=one_line(ack.agent, 120),
            how_to_fix="leave it; another session works on it",
        )
        name = reject(packet, "ACK", sha, (late,), now, extra)
        text = f"a second acknowledgement was refused: {won.get('agent')} has the handoff"
        return Dealt(accepted=False, mark=name, sha256=sha, text=text, code="R30")
    text = f"{note['agent']} has taken it and understood: {note['understood']}"
    questions = [one_line(q, 200) for q in ack.questions]
    if questions:
        text += " Asks: " + " / ".join(questions)
    detail = {"understood": note["understood"], "plan_steps": [one_line(s, 200) for s in ack.plan_steps]}
    return Dealt(
        accepted=True, mark="ACK.accepted.json", sha256=sha, text=one_line(text, 1800), detail=detail
    )


def question(packet: Path, ledger: Ledger, stem: str, next_step: str, now: float) -> Dealt:
    """An agent's question goes on the page; the next change of Next Required Step answers it."""
    try:
        sha, ask = _read(packet, stem, Question, ledger)
    except Refused as err:
        return _refused(packet, stem, err, now)
    note = {
        "sha256": sha,
        "at": iso(now),
        "need": one_line(ask.need, 600),
        "blocks": ask.blocks,
        "default_if_silent": one_line(ask.default_if_silent, 200),
        "next_step": visible(next_step).strip(),
    }
    write_over(packet / f"{stem}.accepted.json", pretty(note))
    text = f"{ledger.packet.agent} asks ({stem}): {note['need']}"
    if ask.why:
        text += f" Why: {one_line(ask.why, 400)}"
    if ask.options:
        text += " Options: " + " | ".join(one_line(o, 120) for o in ask.options)
    if ask.recommended:
        text += f" Recommended: {one_line(ask.recommended, 200)}"
    text += " → answer with: handoffd handoff answer"
    return Dealt(accepted=True, mark=f"{stem}.accepted.json", sha256=sha, text=one_line(text, 1800))


def answer(packet: Path, arrival: Arrival, task: Task, now: float) -> Dealt:
    """A person's answer, through a door or on the page, becomes ANSWER-<n>.json; a number is used once."""
    path = packet / f"{arrival.name}.json"
    text = visible(task.next_step).strip()
    if not path.exists():
        source = "Next Required Step on the task's page"
        write_once(path, pretty({"schema": "answer/1", "answer": text, "at": iso(now), "from": source}))
    sha = identify(path)
    write_over(packet / f"{arrival.name}.accepted.json", pretty({"sha256": sha, "at": iso(now)}))
    said = f"{arrival.name.replace('ANSWER', 'question')} is answered; the agent has it"
    return Dealt(accepted=True, mark=path.name, sha256=sha, text=said)


def refuse(packet: Path, ledger: Ledger, now: float) -> Dealt:
    """REFUSE.json: the packet goes to 03_failed, a person decides."""
    try:
        sha, refusal = _read(packet, "REFUSE", Refusal, ledger)
    except Refused as err:
        return _refused(packet, "REFUSE", err, now)
    reason = one_line(refusal.reason, 600)
    note = {"sha256": sha, "at": iso(now), "code": refusal.code, "reason": reason}
    write_over(packet / "REFUSE.accepted.json", pretty(note))
    return Dealt(
        accepted=True,
        mark="REFUSE.accepted.json",
        sha256=sha,
        text=f"{ledger.packet.agent} refuses ({refusal.code}): {reason}",
        code=refusal.code,
    )


def rung(packet: Path, ledger: Ledger, arrival: Arrival, ctx: Context, now: float) -> Dealt:
    """Take one rung of the ladder and leave its mark."""
    at = float(arrival.name.rsplit("-", 1)[1])
    since = iso(at)
    agent = ledger.packet.agent
    if arrival.mark == "nudge":
        for path in numbered(packet, "NUDGE-"):
            if marker(packet, path.name).get("token") == arrival.token:
                break
        else:
            number = len(numbered(packet, "NUDGE-")) + 1
            note = {
                "token": arrival.token,
                "at": iso(now),
                "at_s": now,
                "phase": arrival.phase,
                "message": f"The {arrival.phase} was due at {since}. Answer, ask or refuse.",
            }
            write_once(packet / f"NUDGE-{number}.json", pretty(note))
            os.utime(packet)
        text = f"no {arrival.phase} from {agent} since {since}: reminded"
        return Dealt(accepted=True, mark="NUDGE", sha256="", text=text)
    doc = ledger.packet
    mark = {"rung": arrival.mark, "to": arrival.to, "phase": arrival.phase, "at": iso(now)}
    write_over(packets.overdue_path(ctx.home, doc.task_id, doc.claim_generation), pretty(mark))
    packets.put_cancel(packet, f"no {arrival.phase} by {since}", now)
    then = {"redeliver": "it is handed over again", "reassign": f"it goes to {arrival.to}"}.get(
        arrival.mark, "a person has to decide"
    )
    return Dealt(
        accepted=True,
        mark=arrival.mark,
        sha256="",
        text=f"no {arrival.phase} from {agent} by {since}; {then}",
    )
