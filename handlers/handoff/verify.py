"""Steps R20 to R60 and R80: is this return ours, complete, real and new? Decisions over what the disk shows.

Each step gives findings; none of them believes a word that it can look up itself. VERIFIED is never
self-reported (research/dispatch.md §2.15).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from handlers.handoff.disk import sha256_file
from handlers.handoff.intake import finding
from handlers.handoff.model import BoundCheck, Criterion, Finding, Packet, Reply, Return, Tier
from handlers.handoff.workspace import Delta, Manifest, below, delta, differs, inside, relative, take

WORKING = ("completed", "partial", "no_change_needed")
"""Statuses that claim work; the others only explain."""
ECHO_BYTES = 64 * 1024


def identity(reply: Reply, packet: Packet) -> list[Finding]:
    """R20: the full ids are those of the daemon's record (never a prefix, incident HF-2)."""
    return [
        finding(
            "R20", f"$.{name}", getattr(packet, name), getattr(reply, name), "copy the ids from the template"
        )
        for name in ("handoff_id", "task_id")
        if getattr(reply, name) != getattr(packet, name)
    ]


def fenced(reply: Reply, packet: Packet, *, cancelled: bool) -> list[Finding]:
    """R30: token and generation are the current claim's, and the handoff still stands."""
    out = []
    if reply.claim_token != packet.claim_token:
        out.append(
            finding("R30", "$.claim_token", "the packet's token", "another", "copy it from the template")
        )
    if reply.claim_generation != packet.claim_generation:
        how = "this delivery is over; look for a newer packet"
        got, want = str(reply.claim_generation), str(packet.claim_generation)
        out.append(finding("R30", "$.claim_generation", want, got, how))
    if cancelled:
        out.append(
            finding("R30", "CANCEL", "a handoff that stands", "cancelled", "stop; nothing more is needed")
        )
    return out


def coverage(ret: Return, packet: Packet) -> list[Finding]:
    """R40: every criterion exactly once; completed leaves nothing open; each refusal has its reason."""
    out = []
    counts = Counter(c.id for c in ret.criteria)
    known = [c.id for c in packet.acceptance]
    for cid in known:
        if counts[cid] != 1:
            how = f"give one entry for {cid}"
            out.append(finding("R40", "$.criteria", f"{cid} exactly once", f"{counts[cid]} times", how))
    for cid in sorted(counts.keys() - set(known)):
        out.append(finding("R40", "$.criteria", ", ".join(known), cid, "take the ids from the template"))
    if ret.status in ("completed", "no_change_needed"):
        required = {c.id for c in packet.acceptance if c.required}
        for claimed in ret.criteria:
            if claimed.id in required and claimed.claim in ("not_met", "not_attempted"):
                how = "return partial and say in not_done what is left"
                out.append(finding("R40", f"$.criteria[{claimed.id}].claim", "met", claimed.claim, how))
    if ret.status == "rejected" and ret.refusal is None:
        out.append(finding("R40", "$.refusal", "code and reason", "nothing", "say why, or use REFUSE.json"))
    if ret.status == "input_required" and not ret.questions:
        out.append(
            finding("R40", "$.questions", "at least one question", "none", "ask, or use QUESTION-1.json")
        )
    return out


def substance(ret: Return, packet: Packet) -> list[Finding]:
    """R50: every file that is named exists in the allowed paths, is what it is said to be, and is no echo."""
    if ret.status not in WORKING:
        return []
    out: list[Finding] = []
    for number, change in enumerate(ret.changes.files):
        out += _changed_file(f"$.changes.files[{number}]", change.path, change.sha256_after, packet)
    for claimed in ret.criteria:
        for number, proof in enumerate(claimed.evidence):
            if proof.kind == "file":
                out += _proof(f"$.criteria[{claimed.id}].evidence[{number}]", proof.ref, proof.sha256, packet)
    return out


def _changed_file(field: str, text: str, after: str | None, packet: Packet) -> list[Finding]:
    path, problem = _place(field, text, packet)
    if path is None:
        return problem
    if after is None:
        gone = not path.exists()
        how = "give sha256_after, or delete it"
        return [] if gone else [finding("R50", field, "deleted (no sha256_after)", "the file is there", how)]
    return _same(field, path, after)


def _proof(field: str, text: str, digest: str | None, packet: Packet) -> list[Finding]:
    path, problem = _place(field, text, packet)
    if path is None:
        return problem
    wrong = _same(field, path, digest)
    if wrong:
        return wrong
    size = path.stat().st_size
    if size < packet.min_evidence_bytes:
        want = f"at least {packet.min_evidence_bytes} bytes"
        return [finding("R50", field, want, f"{size} bytes", "point to the real result")]
    if is_echo(path, packet):
        return [
            finding("R50", field, "a result", "a copy of the task's own words", "point to the real result")
        ]
    return []


def _place(field: str, text: str, packet: Packet) -> tuple[Path | None, list[Finding]]:
    root = Path(packet.workspace.path)
    try:
        path = inside(root, text)
        rel = relative(path.relative_to(root).as_posix())
    except ValueError as err:
        how = "write paths relative to the workspace"
        return None, [finding("R50", field, "a path in the workspace", str(err), how)]
    if not below(rel, packet.workspace.allowed) or below(rel, packet.workspace.forbidden):
        allowed = ", ".join(packet.workspace.allowed)
        return None, [finding("R50", field, f"a path below {allowed}", "outside", "undo that change")]
    return path, []


def _same(field: str, path: Path, digest: str | None) -> list[Finding]:
    if not path.is_file():
        return [finding("R50", field, "a file that exists", "nothing there", "create it or take it out")]
    found = sha256_file(path)
    if digest is not None and digest != found:
        return [
            finding("R50", field, f"sha256 {digest}", f"sha256 {found}", "hash the file again at the end")
        ]
    return []


def is_echo(path: Path, packet: Packet) -> bool:
    """True when a file says nothing but what the task already said (title, criteria, next step)."""
    if path.stat().st_size > ECHO_BYTES:
        return False
    text = _bare(path.read_bytes().decode("utf-8", "ignore"))
    said = [packet.title, packet.next_step, packet.description, *(c.text for c in packet.acceptance)]
    return not text or any(text == _bare(s) for s in said if s)


def _bare(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum())


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What the workspace shows at the time of checking."""

    delta: Delta
    now: Manifest


def look(packet: Packet, before: Manifest) -> Changed:
    """Take the manifest again and compare it with the one from claim time."""
    now = take(Path(packet.workspace.path), packet.workspace.allowed)
    return Changed(delta=delta(before, now), now=now)


def needs_change(ret: Return, packet: Packet) -> bool:
    """False when nothing had to change: the agent says so, or every check only reads."""
    checks = [c.check for c in packet.acceptance if c.check is not None]
    return ret.status == "completed" and not (checks and all(c.read_only for c in checks))


def movement(ret: Return, packet: Packet, before: Manifest, changed: Changed) -> list[Finding]:
    """R60: something changed since the claim, and what is said to have changed did."""
    out: list[Finding] = []
    if needs_change(ret, packet) and not changed.delta:
        how = "do the work, or return no_change_needed"
        out.append(finding("R60", "$.changes", "a change since the claim", "none in the workspace", how))
    root = Path(packet.workspace.path)
    for number, change in enumerate(ret.changes.files):
        try:
            rel = inside(root, change.path).relative_to(root).as_posix()
        except ValueError:
            continue  # R50 has told
        old, new = before.files.get(rel), changed.now.files.get(rel)
        if old is not None and new is not None and not differs(old, new):
            how = "take it out of changes.files"
            out.append(
                finding("R60", f"$.changes.files[{number}]", "changed since the claim", "the same", how)
            )
    return out


def file_check(check: BoundCheck, packet: Packet, before: Manifest) -> tuple[bool, str, str]:
    """The built-in check ``file``: (proved, why not, sha256). Looks at the file itself."""
    root = Path(packet.workspace.path)
    try:
        path = inside(root, check.path)
    except ValueError as err:
        return False, f"{check.path} {err}", ""
    if not path.is_file():
        return False, f"{check.path} is not there", ""
    state = path.stat()
    if state.st_size < check.min_bytes:
        return False, f"{check.path} has {state.st_size} bytes, {check.min_bytes} are asked for", ""
    digest = sha256_file(path)
    old = before.files.get(check.path)
    if not check.read_only and old is not None and old.sha256 == digest:
        return False, f"{check.path} has not changed since the claim", digest
    if not check.read_only and is_echo(path, packet):
        return False, f"{check.path} only repeats the task's own words", digest
    if check.contains and check.contains not in path.read_bytes().decode("utf-8", "replace"):
        return False, f"{check.path} does not contain the text asked for", digest
    return True, "", digest


def proof_files(ret: Return, packet: Packet) -> list[str]:
    """Relative paths of all files that the verdict rests on: named by the return or by a check."""
    named = [c.path for c in ret.changes.files]
    named += [p.ref for c in ret.criteria for p in c.evidence if p.kind == "file"]
    named += [c.check.path for c in packet.acceptance if c.check is not None and c.check.use == "file"]
    root = Path(packet.workspace.path)
    out = set()
    for text in named:
        try:
            out.add(inside(root, text).relative_to(root).as_posix())
        except ValueError:
            continue  # R50 or the check itself has told
    return sorted(out)


def snapshot(packet: Packet, names: Iterable[str]) -> dict[str, str]:
    """Relative path → SHA-256 now ("" = not there)."""
    root = Path(packet.workspace.path)
    return {n: sha256_file(root / n) if (root / n).is_file() else "" for n in names}


def freshness(before: Mapping[str, str], after: Mapping[str, str]) -> list[Finding]:
    """R80: what the verdict rests on did not change while the checks ran."""
    how = "stop all work before you return, then return again"
    return [
        finding("R80", name, f"sha256 {digest or 'none'}", f"sha256 {after.get(name) or 'none'}", how)
        for name, digest in before.items()
        if after.get(name, "") != digest
    ]


def tier_of(criterion: Criterion, ret: Return, proved: bool | None) -> Tier:
    """The strongest tier that holds. ``proved``: what the daemon's own check said; None = it has none."""
    claimed = next((c for c in ret.criteria if c.id == criterion.id), None)
    if proved:
        return "verified"
    if proved is False or claimed is None or claimed.claim in ("not_met", "not_attempted"):
        return "open"
    if claimed.claim == "not_applicable" or all(e.kind == "note" for e in claimed.evidence):
        return "asserted"
    return "reported"


_ORDER: Sequence[Tier] = ("open", "asserted", "reported", "observed", "verified")


def weakest(tiers: Iterable[Tier]) -> Tier:
    """The tier that decides; "open" when there is none."""
    return min(tiers, key=_ORDER.index, default="open")
