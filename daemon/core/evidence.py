"""Evidence: data made by this run. Gate: a named predicate over it. Success: every required gate passed.

The predecessor's checks were constants and its counts library totals; here a gate without evidence is
``unknown``, never a pass (reports.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One measured fact. ``ok`` is what the measurement says of the gate; None = recorded, judges nothing.

    ``kind``: file | page | command | delta | check | query. ``subject`` names what was measured and is
    unique within the gate, so that recording it again after a crash changes nothing. ``at``: epoch
    seconds, never earlier than the run's start. ``data``: JSON values.
    """

    gate: str
    kind: str
    subject: str
    ok: bool | None
    data: dict[str, Any]
    at: float


class GateResult(StrEnum):
    """contract.md §1, ``runs show``."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


Check = Callable[[Sequence[Evidence]], bool]


def all_ok(evidence: Sequence[Evidence]) -> bool:
    """The usual predicate: every piece that judges says yes, and at least one does."""
    verdicts = [e.ok for e in evidence if e.ok is not None]
    return bool(verdicts) and all(verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Declared by a handler. ``title`` is the sentence a reader sees; ``group`` files it under a phase."""

    name: str
    title: str
    required: bool = True
    group: str = "Execution"
    check: Check = all_ok


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A gate with its result, why, and the evidence that it used (subjects)."""

    name: str
    title: str
    group: str
    required: bool
    result: GateResult
    why: str
    evidence: tuple[str, ...]


def judge(
    gates: Sequence[Gate], evidence: Iterable[Evidence], *, started: float, skipped: Sequence[str] = ()
) -> list[Judged]:
    """Each gate judged over the evidence recorded for it since ``started`` (epoch s).

    ``skipped`` names gates that the handler declared not applicable to this task. Evidence for a gate that
    nobody declared is judged as an optional gate of its own, so that nothing measured is hidden.
    """
    by_gate: dict[str, list[Evidence]] = {}
    for item in evidence:
        by_gate.setdefault(item.gate, []).append(item)
    declared = {g.name for g in gates}
    extra = [Gate(name=n, title=n, required=False, group="Other") for n in by_gate if n not in declared]
    return [_judge_one(g, by_gate.get(g.name, []), started, g.name in skipped) for g in (*gates, *extra)]


def _judge_one(gate: Gate, found: list[Evidence], started: float, skipped: bool) -> Judged:
    fresh = [e for e in found if e.at >= started]
    if not fresh:
        result = GateResult.NOT_APPLICABLE if skipped else GateResult.UNKNOWN
        why = "does not apply to this task" if skipped else "no evidence from this run"
        if len(found) > len(fresh):
            why = f"{len(found)} piece(s) of evidence are older than the run"
    elif gate.check(fresh):
        result, why = GateResult.PASSED, ""
    else:
        result = GateResult.FAILED
        bad = [e.subject for e in fresh if e.ok is False]
        why = "failed for " + ", ".join(bad[:5]) if bad else "the evidence does not satisfy the gate"
    return Judged(
        name=gate.name,
        title=gate.title,
        group=gate.group,
        required=gate.required,
        result=result,
        why=why,
        evidence=tuple(e.subject for e in fresh),
    )


def files_of(evidence: Iterable[Evidence]) -> list[dict[str, Any]]:
    """``{"path", "sha256", "bytes"}`` of each file that the evidence names, once, in order."""
    out: dict[str, dict[str, Any]] = {}
    for item in evidence:
        if item.kind == "file" and item.ok and "path" in item.data:
            path = str(item.data["path"])
            known = out.setdefault(path, {"path": path, "sha256": None, "bytes": None})
            known |= {k: item.data[k] for k in ("sha256", "bytes") if item.data.get(k) is not None}
    return list(out.values())


class Verdict(StrEnum):
    """The status that a report may carry; computed here and nowhere else."""

    SUCCESS = "Success"
    PARTIAL = "Partial"
    FAILED = "Failed"


def verdict(judged: Sequence[Judged]) -> Verdict:
    """Success only if something was required and all of it passed; Failed if none of it did; else Partial."""
    required = [j for j in judged if j.required and j.result is not GateResult.NOT_APPLICABLE]
    passed = [j for j in required if j.result is GateResult.PASSED]
    if required and len(passed) == len(required):
        return Verdict.SUCCESS
    return Verdict.PARTIAL if passed else Verdict.FAILED
