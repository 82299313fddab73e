"""The words and marks of a report: every one that judges is computed here, from recorded data. Pure.

A template can't say *passed* or *Success* by itself: it prints ``mark``, ``word`` and ``tone`` from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.core.evidence import GateResult, Verdict, verdict
from daemon.core.ports import Bundle
from daemon.core.text import one_line
from daemon.reports import amounts

RESULTS = {
    GateResult.PASSED: ("✅", "passed", "good"),
    GateResult.FAILED: ("❌", "failed", "bad"),
    GateResult.UNKNOWN: ("❓", amounts.UNMEASURED, "warn"),
    GateResult.NOT_APPLICABLE: ("➖", "not applicable", "muted"),
}
_VERDICTS = {
    Verdict.SUCCESS: ("✅", "good"),
    Verdict.PARTIAL: ("⚠️", "warn"),
    Verdict.FAILED: ("❌", "bad"),
}
_OUTCOMES = {
    "delivered": ("⏳", "Waiting", "info"),
    "retry": ("↻", "Will be tried again", "warn"),
    "snooze": ("⏸️", "Put off", "info"),
    "failed": ("❌", "Failed", "bad"),
    "blocked": ("⛔", "Blocked", "bad"),
    "needsreview": ("👁️", "Needs review", "warn"),
    "cancelled": ("⏹️", "Cancelled", "muted"),
}

_STATES = {
    "completed": ("✅", "good"),
    "failed": ("❌", "bad"),
    "blocked": ("⛔", "bad"),
    "review": ("👁️", "warn"),
    "retrying": ("↻", "warn"),
    "waiting": ("⏳", "info"),
    "running": ("●", "info"),
    "claiming": ("●", "info"),
    "cancelled": ("⏹️", "muted"),
    "released": ("⏹️", "muted"),
}

_FINDINGS = {"warn": ("⚠️", "warn"), "missing": ("❓", "warn"), "failed": ("❌", "bad")}

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The status line. ``tone`` picks a colour: good | warn | bad | info | muted."""

    mark: str
    word: str
    tone: str
    sentence: str


def headline(bundle: Bundle) -> Headline:
    """The status of the report: the verdict over the gates when the handler said done, else its outcome.

    Incident RP-1: the predecessor printed SUCCESS as a literal beside "Notion Updated: False".
    """
    required = [j for j in bundle.judged if j.required and j.result is not GateResult.NOT_APPLICABLE]
    passed = sum(j.result is GateResult.PASSED for j in required)
    proof = f"{passed} of {amounts.plural(len(required), 'required gate')} passed"
    if bundle.outcome == "done":
        found = verdict(bundle.judged)
        mark, tone = _VERDICTS[found]
        return Headline(mark=mark, word=found.value, tone=tone, sentence=proof)
    plain = bundle.outcome.replace("_", "").replace(" ", "").lower()
    mark, word, tone = _OUTCOMES.get(plain, ("❓", one_line(bundle.outcome, 40) or "Unknown outcome", "warn"))
    return Headline(mark=mark, word=word, tone=tone, sentence=one_line(bundle.why, 400) or proof)


def run_state(state: str) -> Headline:
    """How a run of a digest stands: mark, word and tone of its recorded state."""
    mark, tone = _STATES.get(state, ("❓", "warn"))
    return Headline(mark=mark, word=one_line(state, 40) or "unknown", tone=tone, sentence="")


def finding_state(state: str) -> Headline:
    """Mark, word and tone of what a handler noted (ok | warn | missing | failed). Noted is not proved: an
    ``ok`` gets no mark, least of all that of a gate that passed."""
    mark, tone = _FINDINGS.get(state, ("", "muted"))
    return Headline(mark=mark, word=one_line(state, 40), tone=tone, sentence="")


def filled(data: Mapping[str, Any]) -> Facts:
    """``facts`` of the entries that hold something."""
    return facts("", {k: v for k, v in data.items() if v not in (None, "", [], {}, ())})


def facts(kind: str, data: Mapping[str, Any]) -> Facts:
    """``data`` of one piece of evidence as (label, value) pairs: known keys with their unit, the rest plain.

    At most twelve pairs of 200 characters; evidence.json has all of it.
    """
    said = {k: v for k, v in data.items() if v not in ("", {})}
    pairs = [(str(k).replace("_", " "), _value(str(k), v)) for k, v in said.items()]
    if len(pairs) > 12:
        pairs = [*pairs[:11], ("more", f"{len(pairs) - 11} further values in evidence.json")]
    return tuple(pairs)


def _value(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in ("bytes", "size") or key.endswith("_bytes"):
        return amounts.size(value)
    if key in ("seconds", "duration") or key.endswith(("_seconds", "_s")):
        return amounts.duration(value)
    if value is None:
        return "—"
    if key in ("at", "started", "ended", "until", "since") and isinstance(value, int | float):
        return amounts.when(value)
    if isinstance(value, int) and key not in ("code", "port", "status", "pid", "year"):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, str):
        return one_line(value, 200)
    if isinstance(value, Sequence) and all(isinstance(v, str | int | float) for v in value):
        return one_line(" ".join(str(v) for v in value), 200) or "none"
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 200)
