"""A return: the pipeline R00–R90, its refusal with directions, its receipt, and the outcome that follows.

Each function here is the body of one durable step: it looks whether its effect is there, then acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon.core.text import one_line
from daemon.sdk import Blocked, Done, Failed, NeedsReview, Outcome
from handlers.handoff import packets, receipts, render, replies, verify
from handlers.handoff.checks import CheckRun, findings
from handlers.handoff.compile import iso
from handlers.handoff.disk import pretty, sha256_file, write_over
from handlers.handoff.intake import Refused, identify, receive, typed
from handlers.handoff.model import (
    ContextFile,
    CriterionResult,
    Finding,
    FollowUpResult,
    Receipt,
    Return,
    Tier,
)
from handlers.handoff.packets import Ledger, marker, numbered
from handlers.handoff.workspace import Delta, Manifest

CHECKING = "RETURN.checking.json"
"""Copy of the bytes that are being judged: an agent may write on meanwhile."""
LISTED = 200
"""Changed files named in a receipt; the number of all of them is in the evidence."""


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """What R00 to R60 found. ``sha256`` "" = the file is gone again."""

    sha256: str = ""
    ret: Return | None = None
    findings: tuple[Finding, ...] = ()
    delta: Delta = Delta()
    proof: dict[str, str] = {}
    """Relative path → SHA-256 of what the verdict rests on, before the checks ran."""


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """R80, and whether RETURN.json is still the one that was checked."""

    findings: tuple[Finding, ...] = ()
    rewritten: bool = False


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt as it stands on disk, read back. ``sha256`` and ``bytes`` are those of the file; the hash
    of the chain, which leaves out itself, is in the receipt."""

    receipt: Receipt
    path: str
    place: str
    holds: bool
    sha256: str = ""
    bytes: int = 0


def intake(folder: Path, ledger: Ledger, before: Manifest) -> Intake:
    """R00 to R60. The first hard step that fails ends the reading; the rest is judged and told together."""
    path = folder / "RETURN.json"
    try:
        received = receive(path)
        ret = typed(received.doc, Return)
        _all_of(verify.identity(ret, ledger.packet))
        _all_of(verify.fenced(ret, ledger.packet, cancelled=(folder / "CANCEL").exists()))
    except FileNotFoundError:
        return Intake()
    except Refused as err:
        return Intake(sha256=identify(path), findings=err.findings)
    write_over(folder / CHECKING, received.data)
    packet = ledger.packet
    found = [*verify.coverage(ret, packet), *verify.substance(ret, packet)]
    changed = verify.look(packet, before)
    found += verify.movement(ret, packet, before, changed)
    proof = verify.snapshot(packet, verify.proof_files(ret, packet))
    return Intake(
        sha256=received.sha256, ret=ret, findings=tuple(found), delta=_bounded(changed.delta), proof=proof
    )


def _all_of(found: list[Finding]) -> None:
    if found:
        raise Refused(*found)


def _bounded(delta: Delta) -> Delta:
    return Delta(
        added=delta.added[:LISTED],
        changed=delta.changed[:LISTED],
        removed=delta.removed[:LISTED],
        complete=delta.complete and max(map(len, (delta.added, delta.changed, delta.removed))) <= LISTED,
    )


def to_check(ret: Return, ledger: Ledger) -> list[str]:
    """Ids of the criteria whose checks are run: all that the return does not give up on."""
    if ret.status not in verify.WORKING:
        return []
    given_up = {c.id for c in ret.criteria if c.claim != "met"} if ret.status == "partial" else set()
    given_up |= {c.id for c in ret.criteria if c.claim == "not_applicable"}
    return [c.id for c in ledger.packet.acceptance if c.check is not None and c.id not in given_up]


def freshness(folder: Path, ledger: Ledger, taken: Intake) -> Fresh:
    """R80, after the checks."""
    try:
        rewritten = identify(folder / "RETURN.json") != taken.sha256
    except FileNotFoundError:
        rewritten = True
    now = verify.snapshot(ledger.packet, taken.proof)
    return Fresh(findings=tuple(verify.freshness(taken.proof, now)), rewritten=rewritten)


def check_findings(runs: Sequence[CheckRun], ledger: Ledger) -> list[Finding]:
    """R70 and R71."""
    return findings(list(runs), ledger.packet)


def refuse(folder: Path, sha: str, found: Sequence[Finding], fix_window: float, now: float) -> replies.Dealt:
    """Write RETURN.rejected-<n>.json: precise directions, and until when the agent may mend it."""
    extra = {
        "fix_by": iso(now + fix_window),
        "how_to_return_again": "write RETURN.json again (to a temporary name, then rename)",
    }
    name = replies.reject(folder, "RETURN", sha, tuple(found), now, extra)
    first = found[0]
    text = f"the return was refused: {first.code} {first.name}, {first.field}: "
    text += f"expected {first.expected}, got {first.got}"
    if len(found) > 1:
        text += f" (and {len(found) - 1} more)"
    return replies.Dealt(
        accepted=False, mark=name, sha256=sha, text=one_line(text, 900), code=first.code,
        detail={"fix_by": extra["fix_by"], "codes": [f.code for f in found]},
    )  # fmt: skip


def judge_criteria(ret: Return, runs: Sequence[CheckRun], ledger: Ledger) -> list[CriterionResult]:
    """Tier of every criterion: what the daemon proved itself counts, words count as words."""
    by_id = {r.id: r for r in runs}
    claims = {c.id: c.claim for c in ret.criteria}
    out = []
    for c in ledger.packet.acceptance:
        run = by_id.get(c.id)
        out.append(
            CriterionResult(
                id=c.id,
                text=c.text,
                required=c.required,
                kind=c.kind,
                claim=claims.get(c.id, ""),
                tier=verify.tier_of(c, ret, run.proved is True if run else None),
                check=run.use if run else "",
                exit=run.exit if run else None,
                seconds=run.seconds if run else None,
                why=run.why if run else c.question,
            )
        )
    return out


def deciding_tier(results: Sequence[CriterionResult]) -> Tier:
    """The weakest tier among the required criteria."""
    return verify.weakest(r.tier for r in results if r.required)


def outcome_of(ret: Return, results: Sequence[CriterionResult], agent: str, data: dict[str, Any]) -> Outcome:
    """What an accepted return means. The weakest required criterion decides; words never make Completed."""
    said = one_line(ret.summary, 600)
    if ret.status == "failed":
        return Failed(
            reason=f"{agent} could not do it: {said}", hint="read the receipt, change the task", data=data
        )
    if ret.status == "rejected":
        code = ret.refusal.code if ret.refusal else "no code"
        text = one_line(ret.refusal.reason, 600) if ret.refusal else said
        return Blocked(reason=f"{agent} refuses ({code}): {text}", unblock=REFUSED_UNBLOCK, data=data)
    if ret.status == "input_required":
        asked = " / ".join(one_line(q, 300) for q in ret.questions[:5])
        return Blocked(
            reason=f"{agent} needs an answer: {asked}", unblock="answer in the Description", data=data
        )
    if ret.status == "partial":
        left = "; ".join(one_line(n, 200) for n in ret.not_done[:5]) or "see the criteria"
        return NeedsReview(reason=f"only a part is done; left: {left}", summary=said, data=data)
    tier = deciding_tier(results)
    if tier in ("verified", "observed"):
        return Done(summary=said, data=data)
    weak = ", ".join(r.id for r in results if r.required and r.tier == tier)
    if tier == "reported":
        return NeedsReview(reason=f"{weak}: only the agent's own evidence", summary=said, data=data)
    banner = f"NOT PROVED. {weak}: nothing but the agent's word."
    return NeedsReview(reason=banner, summary=said, data={**data, "banner": banner})


REFUSED_UNBLOCK = "read why, then change the task or its agent"


def close(
    folder: Path,
    ledger: Ledger,
    taken: Intake,
    results: Sequence[CriterionResult],
    follow_ups: Sequence[FollowUpResult],
    outcome: str,
    now: float,
) -> Closed:
    """Freeze the return, append the receipt to the agent's chain, put it into the packet, move the packet."""
    ret, packet = taken.ret, ledger.packet
    if ret is None:
        raise ValueError("no return to close")
    _freeze(folder, ledger)
    root = Path(packet.workspace.path)
    files = []
    for role, names in (("added", taken.delta.added), ("changed", taken.delta.changed)):
        for name in names:
            path = root / name
            if path.is_file() and not path.is_symlink():
                size = path.stat().st_size
                files.append(ContextFile(path=name, sha256=sha256_file(path), bytes=size, role=role))
    state = "completed" if ret.status == "no_change_needed" else ret.status
    draft = Receipt(
        sequence=1,
        handoff_id=packet.handoff_id,
        task_id=packet.task_id,
        run=packet.run,
        agent=packet.agent,
        title=packet.title,
        state=state,
        outcome=outcome,
        summary=one_line(ret.summary, 600),
        tier=deciding_tier(results),
        criteria=tuple(results),
        files=tuple(files),
        removed=taken.delta.removed,
        follow_ups=tuple(follow_ups),
        rejections=len(numbered(folder, "RETURN.rejected-")),
        delivered_at=packet.created_at,
        acknowledged_at=str(marker(folder, "ACK.accepted.json").get("at", "")),
        checked_at=iso(now),
        handoff_sha256=ledger.handoff_sha256,
        return_sha256=taken.sha256,
        previous_sha256="",
    )
    receipt = receipts.append(Path(ledger.root), draft, packet.claim_generation)
    receipts.put(folder, receipt, render.receipt_markdown(receipt))
    done = ret.status in ("completed", "partial", "no_change_needed")
    moved = packets.move(folder, packets.PROCESSED if done else packets.FAILED)
    read_back = receipts.verify(moved)
    file = moved / "receipt.json"
    return Closed(
        receipt=receipt,
        path=str(file),
        sha256=sha256_file(file),
        bytes=file.stat().st_size,
        place=str(moved.relative_to(ledger.root)),
        holds=read_back.ok,
    )


def _freeze(folder: Path, ledger: Ledger) -> None:
    """Keep the bytes that were judged, and put handoff.json back if somebody edited it."""
    kept = folder / "RETURN.accepted.json"
    if not kept.exists():
        (folder / CHECKING).replace(kept)
    handoff = folder / "handoff.json"
    if not handoff.is_file() or handoff.is_symlink() or sha256_file(handoff) != ledger.handoff_sha256:
        write_over(handoff, pretty(ledger.packet))
