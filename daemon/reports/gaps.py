"""Gaps: what a run's evidence says is missing, slow or failing again and again. Pure rules, no constants.

The predecessor "found" the same three gaps on every run because they were literals, and made new tasks of
them each time (incident RP-7). Here each gap comes from recorded data and carries a fingerprint made of what
it is about, never of numbers or times that change from run to run: one gap, one task, ever.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from daemon.core.evidence import GateResult
from daemon.core.ports import Bundle
from daemon.core.status import Status
from daemon.core.task import Draft, Priority
from daemon.core.text import one_line
from daemon.reports.amounts import duration, plural
from daemon.reports.compare import Baseline, Notice, compare

REPEATED = 3
"""Failed runs in a row, this one counted, from which a failure is a gap and not bad luck."""
_VARIABLE = re.compile(r"[0-9a-f]{8,}|0x[0-9a-f]+|\d+(?:[.:]\d+)*|/\S+|https?://\S+|[“\"'].*?[”\"']", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One gap. ``rule`` and ``about`` make the fingerprint; ``seen`` is what this run adds to it."""

    rule: str
    handler: str
    about: str
    title: str
    priority: Priority
    seen: str

    @property
    def key(self) -> str:
        """Source key of the task: the same gap has the same key in every run, on every host."""
        digest = hashlib.sha256(f"{self.rule}\n{self.handler}\n{self.about}".encode()).hexdigest()
        return f"gap:{self.rule}:{digest[:16]}"

    def draft(self, status: Status = Status.DRAFT) -> Draft:
        """The task that it becomes. Draft by default: a person decides what is worked on."""
        return Draft(
            title=self.title,
            status=status,
            priority=self.priority,
            task_type="gap",
            description=f"{self.seen}\n\nFound by rule {self.rule} in runs of {self.handler}.",
            source_key=self.key,
        )


def find(bundle: Bundle, baseline: Baseline) -> list[Gap]:
    """All gaps that ``bundle`` shows beside earlier reports; each fingerprint once, in rule order."""
    notices = compare(bundle, baseline, {})
    found = [g for rule in RULES for g in rule(bundle, notices)]
    return list({g.key: g for g in found}.values())


def failure_class(why: str) -> str:
    """``why`` without what differs from time to time: ids, numbers, paths, URLs, quoted names."""
    return " ".join(_VARIABLE.sub("…", one_line(why, 400)).lower().split())


def _repeated_failure(bundle: Bundle, notices: Sequence[Notice]) -> Iterable[Gap]:
    if bundle.outcome not in ("failed", "retry") or not bundle.why:
        return
    row = 1
    for past in bundle.previous:
        if past.get("state") != "failed":
            break
        row += 1
    if row >= REPEATED:
        yield Gap(
            rule="repeated-failure",
            handler=bundle.handler,
            about=failure_class(bundle.why),
            title=f"{bundle.handler} keeps failing: {one_line(bundle.why, 100)}",
            priority=Priority.HIGH,
            seen=f"{plural(row, 'run')} in a row failed. The last one: {one_line(bundle.why, 400)}",
        )


def _not_measured(bundle: Bundle, notices: Sequence[Notice]) -> Iterable[Gap]:
    """Done was said and a required gate has no evidence: a hole in the handler, not bad luck."""
    if bundle.outcome != "done":
        return
    for gate in bundle.judged:
        if gate.required and gate.result is GateResult.UNKNOWN:
            yield Gap(
                rule="gate-unmeasured",
                handler=bundle.handler,
                about=gate.name,
                title=f"{bundle.handler} does not measure its gate {one_line(gate.name, 60)}",
                priority=Priority.HIGH,
                seen=f"“{one_line(gate.title, 120)}”: {gate.why or 'no evidence'}, in run {bundle.run}.",
            )


def _slow_step(bundle: Bundle, notices: Sequence[Notice]) -> Iterable[Gap]:
    for notice in notices:
        if notice.code == "slower-step":
            name = notice.about
            yield Gap(
                rule="slow-step",
                handler=bundle.handler,
                about=name,
                title=f"Step {name} of {bundle.handler} has become slow",
                priority=Priority.LOW,
                seen=f"{notice.text}, in run {bundle.run}.",
            )


def _flaky_step(bundle: Bundle, notices: Sequence[Notice]) -> Iterable[Gap]:
    for step in bundle.steps:
        tries, name = int(step.get("attempts") or 1), one_line(str(step.get("name") or ""), 60)
        if tries > 2:
            took = duration(step.get("seconds"))
            yield Gap(
                rule="flaky-step",
                handler=bundle.handler,
                about=name,
                title=f"Step {name} of {bundle.handler} needs several attempts",
                priority=Priority.LOW,
                seen=f"{plural(tries, 'attempt')} ({took}) in run {bundle.run}.",
            )


def _nothing_new(bundle: Bundle, notices: Sequence[Notice]) -> Iterable[Gap]:
    if bundle.outcome == "done" and any(n.code == "nothing-new" for n in notices):
        seen = "; ".join(n.text for n in notices if n.code == "nothing-new")
        yield Gap(
            rule="nothing-new",
            handler=bundle.handler,
            about="delta",
            title=f"{bundle.handler} ends as done without making anything",
            priority=Priority.MEDIUM,
            seen=f"{seen}, in run {bundle.run}.",
        )


RULES: tuple[Callable[[Bundle, Sequence[Notice]], Iterable[Gap]], ...] = (
    _repeated_failure,
    _not_measured,
    _nothing_new,
    _slow_step,
    _flaky_step,
)
"""Every rule, in the order in which their gaps are listed."""
