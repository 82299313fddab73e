"""Bundle → what templates show as ``report``. Pure: recorded data, put in order and into words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from daemon.core.evidence import Evidence, GateResult, Judged
from daemon.core.ports import Bundle
from daemon.core.text import one_line, shorten
from daemon.reports.compare import Notice
from daemon.reports.wording import RESULTS, Facts, Headline, facts, headline


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One piece of evidence as shown. ``facts``: (label, value) pairs made from its data."""

    gate: str
    kind: str
    subject: str
    mark: str
    word: str
    tone: str
    at: float
    facts: Facts
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """One gate with its result in words and the evidence that it was judged by."""

    name: str
    title: str
    group: str
    required: bool
    result: str
    mark: str
    word: str
    tone: str
    why: str
    evidence: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateGroup:
    """Gates of one phase, in the order declared. ``mark`` sums up the required ones."""

    name: str
    mark: str
    tone: str
    gates: tuple[GateView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A file that the run made or proved. ``seconds`` None = its decoded length was not measured.

    ``made`` False: the evidence says that it was there already (``how: there``), so it counts nowhere.
    """

    path: str
    name: str
    format: str
    bytes: int | None
    sha256: str
    seconds: float | None
    note: str
    made: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A durable step. ``offset`` and ``seconds`` in seconds; None = not recorded."""

    name: str
    state: str
    tone: str
    attempts: int
    offset: float | None
    seconds: float | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a template sees as ``report``. Times are epoch seconds."""

    bundle: Bundle
    title: str
    status: Headline
    seconds: float
    groups: tuple[GateGroup, ...]
    gates: tuple[GateView, ...]
    """Gates that apply to this task."""
    beside: tuple[str, ...]
    """Names of the gates that do not."""
    loose: tuple[Fact, ...]
    """Evidence that no gate used."""
    counts: Mapping[str, int]
    """GateResult value → how many gates."""
    open_gates: tuple[GateView, ...]
    """Required gates that did not pass."""
    steps: tuple[StepView, ...]
    files: tuple[FileView, ...]
    formats: tuple[tuple[str, int, int | None], ...]
    """(format, files, bytes) of the files that this run made; bytes None = one of them was not measured."""
    notices: tuple[Notice, ...]
    next_steps: tuple[str, ...]


def view(bundle: Bundle, notices: Sequence[Notice] = ()) -> View:
    """Everything a template needs, computed from ``bundle`` and the comparison with earlier runs."""
    by_key = {(e.gate, e.subject): e for e in bundle.evidence}
    apply = [j for j in bundle.judged if j.result is not GateResult.NOT_APPLICABLE]
    gates = tuple(_gate(j, by_key) for j in apply)
    used = {(j.name, s) for j in bundle.judged for s in j.evidence}
    files = tuple(_file(f, bundle.evidence) for f in bundle.files)
    open_gates = tuple(g for g in gates if g.required and g.result in ("failed", "unknown"))
    return View(
        bundle=bundle,
        title=one_line(bundle.task.title, 300) or "Untitled task",
        status=headline(bundle),
        seconds=max(0.0, bundle.ended - bundle.started),
        groups=_groups(gates),
        gates=gates,
        beside=tuple(j.name for j in bundle.judged if j.result is GateResult.NOT_APPLICABLE),
        loose=tuple(_fact(e) for k, e in by_key.items() if k not in used),
        counts={r.value: sum(j.result is r for j in bundle.judged) for r in GateResult},
        open_gates=open_gates,
        steps=tuple(_step(s, bundle.started) for s in bundle.steps),
        files=files,
        formats=_formats(files),
        notices=tuple(notices),
        next_steps=_next_steps(bundle, open_gates),
    )


def _fact(item: Evidence) -> Fact:
    mark, word, tone = RESULTS[GateResult.PASSED] if item.ok else RESULTS[GateResult.FAILED]
    if item.ok is None:
        mark, word, tone = "•", "recorded", "muted"
    return Fact(
        gate=item.gate,
        kind=item.kind,
        subject=item.subject,
        mark=mark,
        word=word,
        tone=tone,
        at=item.at,
        facts=facts(item.kind, item.data),
        data=item.data,
    )


def _gate(judged: Judged, by_key: Mapping[tuple[str, str], Evidence]) -> GateView:
    mark, word, tone = RESULTS[judged.result]
    found = [by_key[judged.name, s] for s in judged.evidence if (judged.name, s) in by_key]
    return GateView(
        name=judged.name,
        title=judged.title,
        group=judged.group,
        required=judged.required,
        result=judged.result.value,
        mark=mark,
        word=word,
        tone=tone,
        why=judged.why,
        evidence=tuple(_fact(e) for e in found),
    )


def _groups(gates: Iterable[GateView]) -> tuple[GateGroup, ...]:
    by_name: dict[str, list[GateView]] = {}
    for gate in gates:
        by_name.setdefault(gate.group, []).append(gate)
    return tuple(
        GateGroup(name=name, mark=_worst(found)[0], tone=_worst(found)[2], gates=tuple(found))
        for name, found in by_name.items()
    )


def _worst(gates: Sequence[GateView]) -> tuple[str, str, str]:
    """The mark of a group: its worst required gate; of the optional ones when none is required."""
    counted = [g for g in gates if g.required] or list(gates)
    for result in (GateResult.FAILED, GateResult.UNKNOWN, GateResult.PASSED):
        if any(g.result == result.value for g in counted):
            return RESULTS[result]
    return RESULTS[GateResult.NOT_APPLICABLE]


def _step(step: Mapping[str, Any], started: float) -> StepView:
    state = str(step.get("state") or "unknown")
    begin = step.get("started")
    tones = {"done": "good", "failed": "bad", "running": "info"}
    return StepView(
        name=str(step.get("name") or "unnamed"),
        state=state,
        tone=tones.get(state, "warn"),
        attempts=int(step.get("attempts") or 1),
        offset=max(0.0, float(begin) - started) if isinstance(begin, int | float) else None,
        seconds=step.get("seconds"),
        error=shorten(str(step.get("error") or ""), 2000),
    )


def _file(made: Mapping[str, Any], evidence: Iterable[Evidence]) -> FileView:
    """The file with what evidence says of it: found by its path, or by its name when one only has that."""
    path = str(made.get("path") or "")
    known: dict[str, Any] = {}
    for item in evidence:
        if item.kind == "file" and path and path in (str(item.data.get("path") or ""), item.subject):
            known.update({k: v for k, v in item.data.items() if v is not None})
    seconds = known.get("seconds", made.get("seconds"))
    suffix = PurePath(path).suffix.lstrip(".").upper()[:8]
    kind = str(known.get("format") or "")
    notes = [str(known[k]) for k in ("codec", "role") if known.get(k)]
    if kind and suffix and kind.upper() != suffix:
        notes.insert(0, kind)
    if known.get("lossy_source"):
        notes.append("from a lossy source")
    if known.get("how") == "there":
        notes.append("was there already")
    return FileView(
        path=path,
        name=PurePath(path).name or path,
        format=suffix or kind or "file",
        bytes=made.get("bytes"),
        sha256=str(made.get("sha256") or ""),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        note=", ".join(one_line(note, 60) for note in notes),
        made=known.get("how") != "there",
    )


def _formats(files: Iterable[FileView]) -> tuple[tuple[str, int, int | None], ...]:
    total: dict[str, tuple[int, int | None]] = {}
    for file in files:
        if file.made:
            count, size = total.get(file.format, (0, 0))
            known = size is not None and file.bytes is not None
            total[file.format] = (count + 1, (size or 0) + (file.bytes or 0) if known else None)
    return tuple((name, *total[name]) for name in sorted(total))


def _next_steps(bundle: Bundle, open_gates: Iterable[GateView]) -> tuple[str, ...]:
    """What is left to do, from what is open; empty when nothing is."""
    steps = []
    if bundle.outcome != "done":
        steps.append(one_line(bundle.why, 400) or f"The run ended as {bundle.outcome} and gave no reason")
    steps += [f"Gate {g.name} is {g.word}: {g.why or g.title}" for g in open_gates]
    steps += [
        f"Task “{one_line(str(f.get('title') or ''), 120)}” waits on the board" for f in bundle.follow_ups
    ]
    if bundle.task.next_step.strip():
        steps.append(f"From the page: {one_line(bundle.task.next_step, 400)}")
    return tuple(steps)
