"""This run beside earlier runs of its handler: what is new, slower, missing. Pure.

"2,734 files there, 0 new" was the predecessor's proof of work (incident RP-2); here it is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from daemon.core.evidence import Evidence, GateResult
from daemon.core.ports import Bundle
from daemon.core.text import one_line
from daemon.reports.amounts import duration, plural

SLOWER = 3.0
"""Times the median of earlier runs from which a duration is worth a line (reports.md)."""
ENOUGH = 3
"""Earlier durations that a median needs before it is called one."""
FLOOR = 1.0
"""Seconds below which nothing is called slow: a step of 4 ms that takes 13 ms is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One line of the comparison. ``level``: warning | info. ``code`` is stable, for rules and filters;
    ``about`` names the step, gate, format or subject."""

    level: str
    code: str
    text: str
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What earlier reports of the handler say, read once and kept in evidence.json.

    ``run``: the newest earlier run whose report was found, "" = none. ``gates``: its results by name.
    ``formats``: files it made, by format. ``steps``: seconds of each step in up to five earlier runs.
    """

    run: str = ""
    gates: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, int] = field(default_factory=dict)
    steps: Mapping[str, Sequence[float]] = field(default_factory=dict)


def compare(bundle: Bundle, baseline: Baseline, formats: Mapping[str, int]) -> list[Notice]:
    """Everything worth a line, warnings first. ``formats``: files that this run made, by format."""
    found = [
        *_nothing_new(bundle.evidence),
        *_slower_run(bundle),
        *_slower_steps(bundle, baseline),
        *_missing(bundle, baseline),
        *_new(bundle, baseline, formats),
    ]
    return sorted(found, key=lambda n: n.level != "warning")


def _nothing_new(evidence: Sequence[Evidence]) -> list[Notice]:
    notices = _already_there(evidence)
    for item in evidence:
        added, after = item.data.get("added", item.data.get("new")), item.data.get("after")
        changed = item.data.get("replaced") or item.data.get("changed")
        if item.kind == "delta" and added == 0 and not changed and isinstance(after, int) and after > 0:
            text = f"{one_line(item.subject, 120)}: {plural(after, 'file')} there, 0 new"
            notices.append(Notice(level="warning", code="nothing-new", text=text, about=item.subject))
    return notices


def _already_there(evidence: Sequence[Evidence]) -> list[Notice]:
    """A run that proved files which were there before it and made none of its own."""
    files = [e for e in evidence if e.kind == "file" and e.ok and e.data.get("path")]
    there = {str(e.data["path"]) for e in files if e.data.get("how") == "there"}
    if not there or {str(e.data["path"]) for e in files} - there:
        return []
    text = f"{plural(len(there), 'file')} there already and checked again, 0 new"
    return [Notice(level="warning", code="already-there", text=text)]


def _slower_run(bundle: Bundle) -> list[Notice]:
    known = [float(p["seconds"]) for p in bundle.previous if isinstance(p.get("seconds"), int | float)]
    took = bundle.ended - bundle.started
    text = _slow("This run", took, known)
    return [Notice(level="warning", code="slower-run", text=text)] if text else []


def _slower_steps(bundle: Bundle, baseline: Baseline) -> list[Notice]:
    notices = []
    for step in bundle.steps:
        took, name = step.get("seconds"), str(step.get("name") or "")
        if isinstance(took, int | float):
            text = _slow(f"Step {one_line(name, 80)}", float(took), baseline.steps.get(name, ()))
            if text:
                notices.append(
                    Notice(level="warning", code="slower-step", text=text, about=one_line(name, 80))
                )
    return notices


def _slow(what: str, took: float, known: Sequence[float]) -> str:
    if len(known) < ENOUGH or took < FLOOR:
        return ""
    usual = median(known)
    if took <= SLOWER * usual:
        return ""
    times = f"{took / usual:.1f} times" if usual > 0 else "more than"
    return (
        f"{what} took {duration(took)}, {times} the median of {len(known)} earlier runs ({duration(usual)})"
    )


def _missing(bundle: Bundle, baseline: Baseline) -> list[Notice]:
    """Gates that the run before had proved and this one did not measure."""
    now = {j.name: j.result for j in bundle.judged}
    notices = []
    for name, before in sorted(baseline.gates.items()):
        if before == GateResult.PASSED.value and now.get(name) in (None, GateResult.UNKNOWN):
            text = f"Gate {one_line(name, 80)} passed in the run before and was not measured in this one"
            notices.append(Notice(level="warning", code="missing-gate", text=text, about=name))
    return notices


def _new(bundle: Bundle, baseline: Baseline, formats: Mapping[str, int]) -> list[Notice]:
    notices = []
    if not baseline.run:
        if not bundle.previous:
            text = "No earlier run of this handler is on record: nothing to compare with"
            notices.append(Notice(level="info", code="first-run", text=text))
        return notices
    for name in sorted({*formats, *baseline.formats}):
        now, before = formats.get(name, 0), baseline.formats.get(name, 0)
        if now != before:
            text = f"{plural(now, f'{name} file')} made; {before:,} in the run before"
            level = "warning" if now == 0 else "info"
            notices.append(Notice(level=level, code="files-changed", text=text, about=name))
    fresh = [j for j in bundle.judged if j.name not in baseline.gates]
    if fresh and baseline.gates:
        names = ", ".join(one_line(j.name, 80) for j in fresh)
        notices.append(Notice(level="info", code="new-gate", text=f"Gates not in the run before: {names}"))
    return notices


def baseline_from(reports: Sequence[Mapping[str, Any]]) -> Baseline:
    """A baseline from evidence.json documents of earlier runs, newest first; bad parts are left out."""
    if not reports:
        return Baseline()
    newest = reports[0]
    steps: dict[str, list[float]] = {}
    for report in reports:
        for step in _rows(report.get("steps")):
            if step.get("state") == "done" and isinstance(step.get("seconds"), int | float):
                steps.setdefault(str(step.get("name")), []).append(float(step["seconds"]))
    return Baseline(
        run=str(newest.get("run") or ""),
        gates={str(g.get("name")): str(g.get("result")) for g in _rows(newest.get("gates"))},
        formats={str(f.get("format")): int(f.get("files") or 0) for f in _rows(newest.get("formats"))},
        steps=steps,
    )


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []
