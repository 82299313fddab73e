"""Figures as inline SVG: no script, no request, colours from the page's own light or dark palette.

Positions across are percentages and text keeps its size, so a figure fills a desktop and stays readable on
a phone. Each has a ``<title>`` and a ``<desc>`` that say in words what it shows. Drawn by hand because the
libraries weighed (docs/reports.md) add 35–60 ms of start-up and 6–8 MB for four shapes of bar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from markupsafe import Markup

from daemon.core.text import one_line
from daemon.reports.amounts import duration, plural, size
from daemon.reports.view import View
from daemon.reports.wording import run_state

ROWS = 30
"""Most bars in one figure; the table under it has them all."""
_ROW = 38


def timeline(report: View) -> Markup:
    """Steps as bars over the time of the run; empty when no step has a recorded start."""
    steps = [s for s in report.steps if s.offset is not None]
    total = max([report.seconds, *((s.offset or 0) + (s.seconds or 0) for s in steps), 0.001])
    rows = []
    for i, step in enumerate(steps[:ROWS]):
        left = 100 * (step.offset or 0) / total
        width = max(0.6, 100 * (step.seconds or 0) / total)
        took = duration(step.seconds) if step.seconds is not None else step.state
        again = f", {step.attempts} attempts" if step.attempts > 1 else ""
        y = i * _ROW
        rows.append(_track(y) + _label(y, step.name, f"{took}{again}"))
        rows.append(_bar(min(left, 99.4), y + 18, min(width, 100 - min(left, 99.4)), 10, step.tone))
    if not rows:
        return Markup("")
    height = len(rows) // 2 * _ROW + 18
    rows.append(_text(0, height - 3, "0 s", "tick") + _text(100, height - 3, duration(total), "tick end"))
    told = "; ".join(
        f"{_short(s.name, 60)} from {duration(s.offset)} for {duration(s.seconds)}" for s in steps
    )
    return _svg("timeline", height, f"Timeline of {plural(len(steps), 'step')}", told, rows)


def durations(report: View) -> Markup:
    """This run's time as the last of up to twelve bars; empty when there is no earlier run."""
    earlier = [p for p in report.bundle.previous if isinstance(p.get("seconds"), int | float)][:11]
    if not earlier:
        return Markup("")
    bars = [(str(p.get("state") or ""), float(p["seconds"])) for p in reversed(earlier)]
    usual = median(s for _, s in bars)
    bars.append(("this run", report.seconds))
    top, plot = max(s for _, s in bars) or 1.0, 110
    slot = 100 / len(bars)
    rows = []
    for i, (state, seconds) in enumerate(bars):
        tall = max(2.0, plot * seconds / top)
        tone = "now" if i == len(bars) - 1 else "bad" if state == "failed" else "past"
        rows.append(_bar(i * slot + slot * 0.14, plot + 18 - tall, slot * 0.72, tall, tone))
    level = plot + 18 - plot * usual / top
    line = '<line class="median" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>'
    rows.append(Markup(line).format(level))  # noqa: S704 - a constant; format() escapes what goes in
    rows.append(_text(0, 12, f"median {duration(usual)}", "tick"))
    rows.append(_text(100, 12, f"this run {duration(report.seconds)}", "tick end strong"))
    rows.append(_text(0, plot + 34, f"{plural(len(earlier), 'earlier run')}, oldest left", "tick"))
    told = "Oldest first: " + ", ".join(f"{state or 'run'} {duration(s)}" for state, s in bars)
    told += f". Median of the earlier ones: {duration(usual)}"
    return _svg("durations", plot + 40, "Duration against earlier runs", told, rows)


def gates(report: View) -> Markup:
    """How many gates passed, failed, were not measured or do not apply: one stacked bar with a legend."""
    parts = [
        ("passed", "good", report.counts["passed"]),
        ("failed", "bad", report.counts["failed"]),
        ("not measured", "warn", report.counts["unknown"]),
        ("not applicable", "muted", report.counts["not_applicable"]),
    ]
    return _stack("gates", "Gates by result", parts, "gate")


def formats(report: View) -> Markup:
    """Files that this run made, by format, bars by bytes; empty when it made none."""
    if not report.formats:
        return Markup("")
    top = max(b or 0 for _, _, b in report.formats) or 1
    rows = []
    for i, (name, count, total) in enumerate(report.formats[:ROWS]):
        y = i * _ROW
        rows.append(_track(y) + _label(y, name, f"{plural(count, 'file')}, {size(total)}"))
        if total is not None:
            rows.append(_bar(0, y + 18, max(0.6, 100 * total / top), 10, "now"))
    told = "; ".join(f"{n}: {plural(c, 'file')}, {size(b)}" for n, c, b in report.formats)
    return _svg("formats", min(len(report.formats), ROWS) * _ROW - 4, "Files made, by format", told, rows)


def states(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Runs by the state that they ended in (``state`` of each row) as one stacked bar; for the digest."""
    found = Counter(str(row.get("state") or "unknown") for row in rows)
    parts = [(run_state(s).word, run_state(s).tone, n) for s, n in sorted(found.items())]
    return _stack("states", "Runs by how they ended", parts, "run")


def handlers(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Runs by handler, bars by their number; for the digest. Empty when there is no run."""
    found = Counter(str(row.get("handler") or "no handler") for row in rows)
    if not found:
        return Markup("")
    drawn = []
    for i, (name, count) in enumerate(found.most_common(ROWS)):
        drawn.append(_track(i * _ROW) + _label(i * _ROW, name, plural(count, "run")))
        drawn.append(_bar(0, i * _ROW + 18, max(0.6, 100 * count / max(found.values())), 10, "now"))
    told = "; ".join(f"{_short(n, 60)}: {plural(c, 'run')}" for n, c in found.most_common())
    return _svg("handlers", len(drawn) // 2 * _ROW - 4, "Runs by handler", told, drawn)


ALL: dict[str, Callable[..., Markup]] = {
    "timeline": timeline,
    "durations": durations,
    "gates": gates,
    "formats": formats,
    "states": states,
    "handlers": handlers,
}
"""What templates see as ``figures``."""


def _stack(name: str, title: str, parts: Iterable[tuple[str, str, int]], noun: str) -> Markup:
    shown = [(word, tone, n) for word, tone, n in parts if n > 0]
    total = sum(n for _, _, n in shown)
    if not total:
        return Markup("")
    rows, left = [], 0.0
    for _, tone, n in shown:
        width = 100 * n / total
        rows.append(_bar(left, 4, max(0.5, width - 0.5), 20, tone))
        left += width
    for i, (word, tone, n) in enumerate(shown):
        y = 46 + i * 22
        rows.append(_dot(y, tone) + _text(0, y, f"{n:,} {word}", "legend"))
    told = ", ".join(f"{n} {word}" for word, _, n in shown) + f", of {plural(total, noun)}"
    return _svg(name, 38 + len(shown) * 22, title, told, rows)


def _svg(name: str, height: float, title: str, told: str, rows: Iterable[Markup]) -> Markup:
    frame = (
        '<svg class="figure" role="img" aria-labelledby="{0}-t {0}-d" width="100%" height="{1:.0f}" '
        'xmlns="http://www.w3.org/2000/svg"><title id="{0}-t">{2}</title><desc id="{0}-d">{3}</desc>{4}</svg>'
    )
    body = Markup("").join(rows)
    return Markup(frame).format(f"fig-{name}", height, title, one_line(told, 2000), body)  # noqa: S704 - as above


def _bar(x: float, y: float, width: float, height: float, tone: str) -> Markup:
    shape = '<rect class="bar {4}" x="{0:.2f}%" y="{1:.1f}" width="{2:.2f}%" height="{3:.1f}" rx="2"/>'
    return Markup(shape).format(x, y, width, height, tone)  # noqa: S704 - a constant; format() escapes


def _track(y: float) -> Markup:
    shape = '<rect class="track" x="0" y="{0:.0f}" width="100%" height="10" rx="2"/>'
    return Markup(shape).format(y + 18)  # noqa: S704 - a constant; format() escapes


def _label(y: float, left: str, right: str) -> Markup:
    return _text(0, y + 12, _short(left, 34), "name") + _text(100, y + 12, right, "tick end")


def _dot(y: float, tone: str) -> Markup:
    shape = '<circle class="bar {1}" cx="6" cy="{0:.0f}" r="5"/>'
    return Markup(shape).format(y - 4, tone)  # noqa: S704 - a constant; format() escapes


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    shift = ' dx="18"' if kind == "legend" else ""
    shape = f'<text class="{{2}}" x="{{0:.0f}}%" y="{{1:.0f}}"{shift}>{{3}}</text>'
    return Markup(shape).format(x, y, kind, text)  # noqa: S704 - a constant; format() escapes


def _short(text: str, limit: int) -> str:
    plain = one_line(text, 400)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
