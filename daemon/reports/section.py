"""What of a report goes on the page: a bounded summary in our marked section, and the link. Pure."""

from __future__ import annotations

from daemon.core.text import one_line, utf16_units
from daemon.reports.amounts import duration, plural, when
from daemon.reports.safe_text import inline, link
from daemon.reports.view import View

LIMIT = 1500
"""UTF-16 units of the whole section (Notion counts so; its runs hold 2,000). The report has the rest."""


def section(report: View, url: str) -> str:
    """Markdown of at most ``LIMIT`` units: status line, one paragraph, gates, files, the link.

    Nothing is cut silently: what does not fit is counted. Paths of this machine are left out.
    """
    bundle = report.bundle
    said = bundle.summary or bundle.why
    head = f"**{report.status.mark} {inline(report.status.word)}**"
    if report.status.sentence not in said:
        head += f" — {inline(one_line(report.status.sentence, 240))}"
    lines = [head, ""]
    if said and said != report.status.sentence:
        lines += [str(inline(one_line(said, 360))), ""]
    tail = _tail(report, url)
    budget = LIMIT - utf16_units("\n".join([*lines, *tail])) - 60
    lines += _gates(report, budget)
    return "\n".join([*lines, *tail])


def _gates(report: View, budget: int) -> list[str]:
    """One line a gate, the open ones first, as many as fit; the rest is counted."""
    order = sorted(report.gates, key=lambda g: (not (g.required and g.result in ("failed", "unknown")),))
    lines: list[str] = []
    for i, gate in enumerate(order):
        need = "" if gate.required else " (optional)"
        why = f": {inline(one_line(gate.why, 100))}" if gate.why and gate.result != "passed" else ""
        line = f"- {gate.mark} {inline(one_line(gate.title, 90))}{need} — {gate.word}{why}"
        budget -= utf16_units(line) + 1
        if budget < 0:
            return [*lines, f"- … and {plural(len(order) - i, 'more gate')} in the report", ""]
        lines.append(line)
    return [*lines, ""] if lines else []


def _tail(report: View, url: str) -> list[str]:
    bundle = report.bundle
    facts = [f"{duration(report.seconds)}", f"ended {when(bundle.ended)}"]
    made = sum(file.made for file in report.files)
    if made < len(report.files):
        facts.insert(0, f"{plural(len(report.files) - made, 'file')} there already")
    if made:
        kinds = ", ".join(f"{count} {name}" for name, count, _ in report.formats[:6])
        facts.insert(0, f"{plural(made, 'file')} made ({inline(one_line(kinds, 120))})")
    if bundle.follow_ups:
        facts.insert(0, plural(len(bundle.follow_ups), "follow-up task"))
    shown = url if utf16_units(url) <= 300 else ""
    full = link("Full report", shown) if shown else inline("Full report: see the Report property")
    return [f"{' · '.join(facts)} · {full}"]
