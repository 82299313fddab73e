"""From recorded runs to a digest. Pure but for ``read``; every count carries the ids behind it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import msgspec

from daemon.core.evidence import files_of
from daemon.core.text import one_line
from daemon.sdk import Context, GateResult, RunRecord

GOOD = ("completed",)
BAD = ("failed", "blocked", "review")
OPEN = ("claiming", "running", "waiting", "retrying")
SLOW_FACTOR = 3.0
"""A run is called slow when it took more than this times its handler's median (reports.md)."""
SLOW_FLOOR_S = 1.0
"""Below this a factor says nothing."""
WAITS_LONG_S = 72 * 3600.0
"""An acknowledged handoff's time to live in dispatch research §3.2."""
TOP = 10
_AGO = re.compile(r"([1-9][0-9]{0,4})\s*([hdw])")
_UNIT = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at: epoch seconds, ``until`` exclusive. ``problem`` not empty = it makes no sense."""

    since: float = 0.0
    until: float = 0.0
    problem: str = ""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """A number and what it was counted from."""

    name: str
    count: int
    runs: list[str]


class ByHandler(msgspec.Struct, frozen=True, kw_only=True):
    """One handler's runs. ``seconds`` is the sum over ended runs; ``median_s`` None = none ended."""

    handler: str
    runs: list[str]
    states: dict[str, int]
    seconds: float
    median_s: float | None
    files: int
    bytes: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A run worth a line: slow, bad or waiting."""

    run: str
    title: str
    handler: str
    state: str
    seconds: float | None
    reason: str


class FileMade(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a run's evidence names. ``bytes`` None = not measured."""

    path: str
    sha256: str | None
    bytes: int | None
    run: str


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a reader should not miss, with the runs that show it."""

    text: str
    runs: list[str]


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the report's data beside the rows."""

    since: float
    until: float
    total: int
    states: list[Count]
    handlers: list[ByHandler]
    gates: list[Count]
    files: list[FileMade]
    files_total: int
    bytes_total: int
    slowest: list[Told]
    failures: list[Told]
    waiting: list[Told]
    warnings: list[Notice]


class Cross(msgspec.Struct, frozen=True, kw_only=True):
    """A sum that must come out the same in two ways."""

    name: str
    ok: bool
    got: int
    of: int


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the one step."""

    digest: Digest
    runs: list[dict[str, Any]]
    ids_sha256: str
    in_span: bool
    """Every run that was read began in the span."""
    cross_checks: list[Cross]


def span_of(since: str, until: str, now: datetime) -> Span:
    """The span; times without a zone are UTC."""
    try:
        start = _point(since, now)
        end = _point(until, now) if until.strip() else now
    except ValueError as err:
        return Span(problem=str(err))
    if start >= end:
        return Span(problem=f"since {start.isoformat()} is not before until {end.isoformat()}")
    return Span(since=start.timestamp(), until=end.timestamp())


def _point(text: str, now: datetime) -> datetime:
    match = _AGO.fullmatch(text.strip().lower())
    if match:
        return now - int(match[1]) * _UNIT[match[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as err:
        raise ValueError(f"“{one_line(text, 60)}” is neither a span nor an ISO date") from err
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def read(ctx: Context, span: Span) -> Read:
    """Read the runs that began in the span, without the one that reads. Inside a step."""
    since, until = datetime.fromtimestamp(span.since, UTC), datetime.fromtimestamp(span.until, UTC)
    records = [r for r in ctx.history(since, until) if r.run != ctx.run.id]
    digest = compute(records, span)
    ids = "\n".join(r.run for r in records)
    return Read(
        digest=digest,
        runs=[row(r) for r in records],
        ids_sha256=hashlib.sha256(ids.encode()).hexdigest(),
        in_span=all(span.since <= r.started < span.until for r in records),
        cross_checks=cross_checks(digest, records),
    )


def row(record: RunRecord) -> dict[str, Any]:
    """A line of the table of runs."""
    required = [g for g in record.gates if g.required and g.result is not GateResult.NOT_APPLICABLE]
    passed = [g for g in required if g.result is GateResult.PASSED]
    return {
        "run": record.run,
        "task": record.task,
        "title": one_line(record.title, 200),
        "handler": record.handler,
        "state": record.state,
        "started": record.started,
        "ended": record.ended,
        "result": one_line(record.result, 300),
        "report": record.report,
        "gates": {"passed": len(passed), "of": len(required)},
    }


def compute(records: Sequence[RunRecord], span: Span) -> Digest:
    """All aggregates."""
    files = [f for r in records for f in _files(r)]
    return Digest(
        since=span.since,
        until=span.until,
        total=len(records),
        states=_counts((r.state, r.run) for r in records),
        handlers=_handlers(records),
        gates=_counts((g.result.value, r.run) for r in records for g in r.gates if g.required),
        files=files,
        files_total=len(files),
        bytes_total=sum(f.bytes or 0 for f in files),
        slowest=[_told(r) for r in sorted(_ended(records), key=_seconds, reverse=True)[:TOP]],
        failures=[_told(r) for r in records if r.state in BAD],
        waiting=[_told(r, span.until) for r in records if r.state == "waiting"],
        warnings=_warnings(records, span),
    )


def _counts(pairs: Iterable[tuple[str, str]]) -> list[Count]:
    by_name: dict[str, list[str]] = {}
    for name, run in pairs:
        by_name.setdefault(name, []).append(run)
    return [
        Count(name=n, count=len(runs), runs=list(dict.fromkeys(runs))) for n, runs in sorted(by_name.items())
    ]


def _files(record: RunRecord) -> list[FileMade]:
    return [FileMade(**f, run=record.run) for f in files_of(record.evidence)]


def _ended(records: Iterable[RunRecord]) -> list[RunRecord]:
    return [r for r in records if r.ended is not None]


def _seconds(record: RunRecord) -> float:
    return (record.ended or record.started) - record.started


def _handlers(records: Sequence[RunRecord]) -> list[ByHandler]:
    out = []
    for name in sorted({r.handler for r in records}):
        mine = [r for r in records if r.handler == name]
        took = [_seconds(r) for r in _ended(mine)]
        files = [f for r in mine for f in _files(r)]
        out.append(
            ByHandler(
                handler=name,
                runs=[r.run for r in mine],
                states={c.name: c.count for c in _counts((r.state, r.run) for r in mine)},
                seconds=round(sum(took), 3),
                median_s=round(median(took), 3) if took else None,
                files=len(files),
                bytes=sum(f.bytes or 0 for f in files),
            )
        )
    return out


def _told(record: RunRecord, now: float | None = None) -> Told:
    seconds = _seconds(record) if record.ended is not None else None
    if now is not None and seconds is None:
        seconds = now - record.started
    return Told(
        run=record.run,
        title=one_line(record.title, 200),
        handler=record.handler,
        state=record.state,
        seconds=round(seconds, 3) if seconds is not None else None,
        reason=one_line(record.result, 300),
    )


def _warnings(records: Sequence[RunRecord], span: Span) -> list[Notice]:
    out = []
    for name in sorted({r.handler for r in records}):
        mine = [r for r in records if r.handler == name]
        done = [r for r in mine if r.state in GOOD]
        bare = [r for r in done if not any(e.ok for e in r.evidence)]
        if bare:
            text = f"{name}: {_runs(len(bare))} called completed without any evidence"
            out.append(Notice(text=text, runs=[r.run for r in bare]))
        if len(done) >= 2 and name != "report" and not any(_files(r) for r in done):
            text = f"{name}: {_runs(len(done))} completed, 0 files new"
            out.append(Notice(text=text, runs=[r.run for r in done]))
        out += _slow(name, mine) + _same_reason(name, mine)
    old = [r for r in records if r.state == "waiting" and span.until - r.started > WAITS_LONG_S]
    if old:
        out.append(Notice(text=f"{_runs(len(old))} waiting for more than 72 h", runs=[r.run for r in old]))
    unknown = [r for r in records if any(g.required and g.result is GateResult.UNKNOWN for g in r.gates)]
    if unknown:
        text = f"{_runs(len(unknown))} with a required gate that has no evidence"
        out.append(Notice(text=text, runs=[r.run for r in unknown]))
    return out


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _slow(name: str, mine: Sequence[RunRecord]) -> list[Notice]:
    took = [(r, _seconds(r)) for r in _ended(mine)]
    if len(took) < 4:
        return []
    middle = median(s for _, s in took)
    slow = [r.run for r, s in took if s > SLOW_FLOOR_S and s > SLOW_FACTOR * middle]
    if not slow:
        return []
    text = f"{name}: {_runs(len(slow))} slower than {SLOW_FACTOR:g} × the median of {middle:.1f} s"
    return [Notice(text=text, runs=slow)]


def _same_reason(name: str, mine: Sequence[RunRecord]) -> list[Notice]:
    groups = _counts((one_line(r.result, 120), r.run) for r in mine if r.state in BAD and r.result)
    return [
        Notice(text=f"{name}: {g.count} times the same end: {g.name}", runs=g.runs)
        for g in groups
        if g.count >= 3
    ]


def cross_checks(digest: Digest, records: Sequence[RunRecord]) -> list[Cross]:
    """Each total made a second way from the rows."""
    ids = {r.run for r in records}
    by_state = sum(c.count for c in digest.states)
    by_handler = sum(len(h.runs) for h in digest.handlers)
    named = {run for c in digest.states for run in c.runs}
    file_bytes = sum(h.bytes for h in digest.handlers)
    return [
        Cross(name="runs by state", ok=by_state == len(records), got=by_state, of=len(records)),
        Cross(name="runs by handler", ok=by_handler == len(records), got=by_handler, of=len(records)),
        Cross(name="runs named", ok=named == ids, got=len(named), of=len(ids)),
        Cross(
            name="bytes by handler",
            ok=file_bytes == digest.bytes_total,
            got=file_bytes,
            of=digest.bytes_total,
        ),
    ]


def summary(digest: Digest) -> str:
    """One paragraph for the page."""
    span = f"{_day(digest.since)} to {_day(digest.until)}"
    if not digest.total:
        return f"Nothing ran from {span}."
    states = ", ".join(f"{c.count} {c.name}" for c in sorted(digest.states, key=lambda c: -c.count))
    text = f"{_runs(digest.total)} from {span}: {states}."
    if digest.files_total:
        text += f" {digest.files_total} files, {digest.bytes_total:,} bytes."
    if digest.warnings:
        text += " Note: " + "; ".join(w.text for w in digest.warnings[:3]) + "."
    return text


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def plain(digest: Digest) -> dict[str, Any]:
    """JSON form."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(digest))
    return value
