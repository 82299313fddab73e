"""What an agent or a person does to a handoff: the library behind the command line and its MCP server.

Every verb ends in one file in the packet's folder, written whole, exactly as an agent without any tool would
write it; the daemon's checks are the same for all doors. Times are epoch seconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon.core.text import visible
from daemon.sdk import BlockedError, NotFound, PermanentError
from handlers.handoff import packets, receipts
from handlers.handoff.compile import iso
from handlers.handoff.disk import pretty, read_json, sha256_file, write_once, write_over
from handlers.handoff.intake import Refused, identify, receive, strict_json, typed
from handlers.handoff.model import Ack, Doc, Packet, Question, Refusal, Return
from handlers.handoff.receipts import Verification
from handlers.handoff.render import reply_fields, return_template
from handlers.handoff.workspace import inside


class PacketView(msgspec.Struct, frozen=True, kw_only=True):
    """One packet in a list. ``state`` is an A2A word: submitted, working, input_required, completed, …"""

    path: str
    name: str
    agent: str
    task_id: str
    title: str
    generation: int
    state: str
    delivered_at: str
    ack_by: str
    return_by: str


def list_packets(root: Path) -> list[PacketView]:
    """All packets below one agent's folder, newest first. A folder that holds no packet is left out."""
    return [_view(path, packet) for path in packets.packets(root) if (packet := _packet_or_none(path))]


def _packet_or_none(path: Path) -> Packet | None:
    try:
        return packet_of(path)
    except (NotFound, PermanentError):
        return None


def packet_of(folder: Path) -> Packet:
    """The packet in a folder. NotFound when there is none, PermanentError when it can't be read."""
    if not packets.NAME.fullmatch(folder.resolve().name):
        raise NotFound(f"{folder} is not a handoff's folder", hint="give the folder that holds handoff.md")
    try:
        return msgspec.convert(receive(folder / "handoff.json").doc, Packet)
    except FileNotFoundError as err:
        raise NotFound(f"{folder} has no handoff.json") from err
    except (Refused, msgspec.ValidationError) as err:
        raise PermanentError(f"{folder}/handoff.json can't be read: {err}") from err


def _view(path: Path, packet: Packet) -> PacketView:
    return PacketView(
        path=str(path),
        name=path.name,
        agent=packet.agent,
        task_id=packet.task_id,
        title=packet.title,
        generation=packet.claim_generation,
        state=state_of(path),
        delivered_at=packet.created_at,
        ack_by=packet.ack_by,
        return_by=packet.return_by,
    )


def state_of(folder: Path) -> str:
    """Where the handoff stands, from the files that lie there."""
    receipt = read_json(folder / "receipt.json")
    if receipt:
        return str(receipt.get("state"))
    if (folder / "CANCEL").exists():
        return "canceled"
    if (folder / "REFUSE.accepted.json").exists():
        return "rejected"
    questions = packets.numbered(folder, "QUESTION-")
    if any(not (folder / f"ANSWER-{p.stem.removeprefix('QUESTION-')}.json").exists() for p in questions):
        return "input_required"
    return "working" if (folder / "ACK.accepted.json").exists() else "submitted"


def show(folder: Path) -> dict[str, Any]:
    """All about one handoff: the packet, its state, and what was said on both sides so far."""
    packet = packet_of(folder)
    said = sorted(p.name for p in folder.iterdir() if p.suffix == ".json" and p.name not in _GIVEN)
    return {
        "path": str(folder),
        "state": state_of(folder),
        "packet": msgspec.to_builtins(packet),
        "replies": said,
        "answers": {p.stem: read_json(p).get("answer", "") for p in packets.numbered(folder, "ANSWER-")},
        "rejections": [read_json(p) for p in packets.numbered(folder, "RETURN.rejected-")],
        "heartbeat": _heartbeat(folder),
    }


_GIVEN = {"handoff.json", "ACK.template.json", "RETURN.template.json", "MANIFEST.json"}


def _heartbeat(folder: Path) -> float | None:
    path = folder / "HEARTBEAT"
    return path.lstat().st_mtime if path.exists() else None


def _open(folder: Path) -> Packet:
    """The packet, if it still takes answers."""
    packet = packet_of(folder)
    state = state_of(folder)
    if state == "canceled":
        reason = read_json(folder / "CANCEL").get("reason", "")
        raise BlockedError(f"this handoff was cancelled: {reason}", hint="stop; look for a newer packet")
    if state not in ("submitted", "working", "input_required"):
        raise BlockedError(f"this handoff has ended: {state}", hint="nothing more is needed")
    return packet


def _checked(doc: dict[str, Any], kind: type[Doc]) -> bytes:
    """The document as bytes, after the daemon's own reading rules. PermanentError names the field."""
    data = pretty(doc)
    try:
        typed(strict_json(data), kind)
    except Refused as err:
        first = err.findings[0]
        raise PermanentError(
            f"{first.field}: {first.expected} (got {first.got})", hint=first.how_to_fix
        ) from err
    return data


def ack(
    folder: Path,
    *,
    agent: str,
    understood: str,
    now: float,
    plan_steps: Sequence[str] = (),
    questions: Sequence[str] = (),
    session: str = "",
) -> Path:
    """Acknowledge. The first one wins: BlockedError names who has it when somebody was quicker."""
    packet = _open(folder)
    doc = {
        **reply_fields(packet, "ack/1"),
        "agent": agent,
        "understood": understood,
        "accepted_at": iso(now),
        "session": session,
        "plan_steps": list(plan_steps),
        "questions": list(questions),
    }
    path = folder / "ACK.json"
    if write_once(path, _checked(doc, Ack)):
        return path
    if identify(path) in {str(read_json(p).get("sha256")) for p in packets.numbered(folder, "ACK.rejected-")}:
        write_over(path, pretty(doc))
        return path
    other = read_json(path).get("agent", "somebody")
    raise BlockedError(f"{visible(str(other))[:120]} has acknowledged it already", hint="leave it to them")


def beat(folder: Path, *, now: float, note: str = "", percent: float | None = None) -> Path:
    """Say that work goes on."""
    _open(folder)
    path = folder / "HEARTBEAT"
    write_over(path, pretty({"at": iso(now), "note": visible(note)[:600], "percent": percent}))
    return path


def ask(
    folder: Path,
    *,
    need: str,
    why: str = "",
    options: Sequence[str] = (),
    recommended: str = "",
    default_if_silent: str = "",
    blocks: bool = True,
) -> Path:
    """Ask a person. Numbers are never used twice; the answer will be ANSWER-<n>.json."""
    packet = _open(folder)
    doc = {
        **reply_fields(packet, "question/1"),
        "need": need,
        "why": why,
        "options": list(options),
        "recommended": recommended,
        "default_if_silent": default_if_silent,
        "blocks": blocks,
    }
    data = _checked(doc, Question)
    number = len(packets.numbered(folder, "QUESTION-")) + 1
    while not write_once(folder / f"QUESTION-{number}.json", data):
        number += 1
    return folder / f"QUESTION-{number}.json"


def answer(folder: Path, number: int, text: str, *, by: str, now: float) -> Path:
    """A person's answer to QUESTION-<number>. BlockedError when it was answered before."""
    _open(folder)
    if not (folder / f"QUESTION-{number}.json").exists():
        raise NotFound(f"there is no QUESTION-{number}", hint="see: handoffd handoff show")
    path = folder / f"ANSWER-{number}.json"
    doc = {"schema": "answer/1", "answer": visible(text), "at": iso(now), "from": by}
    if not write_once(path, pretty(doc)):
        raise BlockedError(f"QUESTION-{number} has been answered", hint="the agent may ask again")
    return path


def return_(
    folder: Path,
    data: Mapping[str, Any] | None = None,
    *,
    status: str = "completed",
    summary: str = "",
    met: Sequence[str] | None = None,
    files: Sequence[str] = (),
    evidence: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    not_done: Sequence[str] = (),
    follow_ups: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Return the work: ``data`` as a whole document, or built from the flags.

    ``met``: ids of the criteria that are met (None = all); ``files``: changed files, relative to the
    workspace, hashed here; ``evidence``: criterion id → proofs. BlockedError when a return waits already.
    """
    packet = _open(folder)
    doc = dict(data) if data is not None else _built(packet, status, summary, met, files, evidence)
    if data is None:
        doc["not_done"] = list(not_done)
        doc["follow_ups"] = [dict(f) for f in follow_ups]
    path = folder / "RETURN.json"
    body = _checked(doc, Return)
    if write_once(path, body):
        return path
    refused = {str(read_json(p).get("sha256")) for p in packets.numbered(folder, "RETURN.rejected-")}
    if identify(path) not in refused:
        raise BlockedError("a return is there and is being checked", hint="wait for its answer")
    write_over(path, body)
    return path


def _built(
    packet: Packet,
    status: str,
    summary: str,
    met: Sequence[str] | None,
    files: Sequence[str],
    evidence: Mapping[str, Sequence[Mapping[str, Any]]] | None,
) -> dict[str, Any]:
    doc = return_template(packet)
    ids = [c.id for c in packet.acceptance]
    doc["status"], doc["summary"] = status, summary
    done = set(ids if met is None else met)
    doc["criteria"] = [
        {
            "id": cid,
            "claim": "met" if cid in done else "not_met",
            "evidence": [dict(e) for e in (evidence or {}).get(cid, ())],
        }
        for cid in ids
    ]
    root = Path(packet.workspace.path)
    doc["changes"]["files"] = [_changed(root, name) for name in files]
    return doc


def _changed(root: Path, name: str) -> dict[str, Any]:
    try:
        path = inside(root, name)
    except ValueError as err:
        raise PermanentError(f"{name}: {err}", hint=f"name files below {root}") from err
    if not path.is_file():
        return {"path": name, "sha256_after": None}
    return {"path": name, "sha256_after": sha256_file(path)}


def refuse(folder: Path, *, code: str, reason: str) -> Path:
    """Refuse: wrong_agent, underspecified, unsafe, out_of_scope or duplicate_of, and why."""
    packet = _open(folder)
    path = folder / "REFUSE.json"
    doc = {**reply_fields(packet, "refuse/1"), "code": code, "reason": reason}
    if not write_once(path, _checked(doc, Refusal)):
        raise BlockedError("it has been refused already", hint="nothing more is needed")
    return path


def verify_receipt(path: Path) -> Verification:
    """See ``receipts.verify``."""
    return receipts.verify(path)
