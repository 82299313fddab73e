"""How handlers and agents did, from their recorded attempts. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.core.evidence import Evidence
from daemon.core.status import RunState
from daemon.store import Run

DELIVERED, ACKNOWLEDGED = "packet.published", "ack.valid"
FIRST_TIME, PROVED = "return.first_time", "criteria.verified"
GATES = (DELIVERED, ACKNOWLEDGED, FIRST_TIME, PROVED)
"""The gates of a handoff that say how its agent did (handlers/handoff declares them)."""

TIERS = ("verified", "observed", "reported", "asserted", "open")
"""Strongest first (docs/handoffs.md); what is none of them counts as the weakest."""

Z = 1.96
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerScore:
    """``p50`` and ``p95``: seconds of its newest attempts that ended Completed; None = there are none."""

    total: int
    completed: int
    failed: int
    p50: float | None
    p95: float | None
    last: Run | None


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``of`` cases."""

    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, 0 to 1: what so few cases allow to say."""
        if not self.of:
            return 0.0, 1.0
        n, p = self.of, self.hits / self.of
        middle, wide = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        low, high = ((middle + sign * wide) / (1 + Z * Z / n) for sign in (-1, 1))
        return max(0.0, low), min(1.0, high)


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds: median and quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentScore:
    """One agent's handoffs, of those that reached its inbox."""

    agent: str
    open: int
    oldest: float | None
    completed: int
    review: int
    failed: int
    acknowledged: Spread | None
    """From delivery to the acknowledgement; None = it never acknowledged."""
    took: Spread | None
    """From delivery to the end."""
    first_time: Share
    """Returns that were accepted as they came, of those that were accepted."""
    refused: Share
    """Of those that ended."""
    tiers: Mapping[str, int]
    """Weakest tier of a return's required criteria → number of returns, strongest tier first."""


def handler_scores(
    latest: Mapping[str, Sequence[Run]], counts: Mapping[tuple[str, str], int]
) -> dict[str, HandlerScore]:
    """Handler → score; ``latest`` are its newest attempts, ``counts`` (handler, state) → number of all."""
    out: dict[str, HandlerScore] = {}
    for name, runs in latest.items():
        ended = [r for r in runs if r.ended is not None]
        took = sorted(
            r.ended - r.started for r in ended if r.ended is not None and r.state is RunState.COMPLETED
        )
        out[name] = HandlerScore(
            total=sum(n for (h, _), n in counts.items() if h == name),
            completed=counts.get((name, RunState.COMPLETED.value), 0),
            failed=counts.get((name, RunState.FAILED.value), 0),
            p50=quantile(took, 0.5),
            p95=quantile(took, 0.95),
            last=ended[0] if ended else None,
        )
    return out


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank quantile of sorted values; None when there are none."""
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[min(len(ordered), int(rank)) - 1]


def handoff_scores(
    past: Sequence[Run], waiting: Sequence[Run], facts: Mapping[str, Sequence[Evidence]]
) -> list[AgentScore]:
    """One line for each agent that was given a packet, busiest first.

    ``facts``: run → its evidence for ``GATES``.
    """
    by_agent: dict[str, list[Run]] = {}
    for run in {r.run: r for r in (*past, *waiting)}.values():
        for fact in _of(facts, run, DELIVERED)[:1]:
            by_agent.setdefault(str(fact.data.get("agent") or agent_of(run)), []).append(run)
    out = [_agent(name, runs, facts) for name, runs in by_agent.items()]
    return sorted(out, key=lambda a: (-a.open, -(a.completed + a.review + a.failed), a.agent))


def agent_of(run: Run) -> str:
    """The agent that the task named when it was claimed, "" = none."""
    named = list(run.page.get("agents") or [])
    return str(named[0]) if len(named) == 1 else ""


def _agent(name: str, runs: Sequence[Run], facts: Mapping[str, Sequence[Evidence]]) -> AgentScore:
    open_ = [r for r in runs if r.state is RunState.WAITING]
    ended = [r for r in runs if r.ended is not None and r.state is not RunState.RETRYING]
    acks, first, refused, tiers = [], [], 0, []
    for run in runs:
        given = _of(facts, run, DELIVERED)[0].at
        answers = _of(facts, run, ACKNOWLEDGED)
        acks += [f.at - given for f in answers if f.ok]
        refused += any("refused" in f.data for f in answers)
        returned = [f.ok for f in _of(facts, run, FIRST_TIME)]
        proved = [str(f.data.get("tier")) for f in _of(facts, run, PROVED) if f.ok is not None]
        if proved:
            first.append(all(returned))
            tiers.append(max(proved, key=lambda t: TIERS.index(t) if t in TIERS else len(TIERS)))
    return AgentScore(
        agent=name,
        open=len(open_),
        oldest=min((r.started for r in open_), default=None),
        completed=sum(1 for r in runs if r.state is RunState.COMPLETED),
        review=sum(1 for r in runs if r.state is RunState.REVIEW),
        failed=sum(1 for r in runs if r.state in (RunState.FAILED, RunState.BLOCKED)),
        acknowledged=_spread(acks),
        took=_spread([r.ended - r.started for r in ended if r.ended is not None]),
        first_time=Share(sum(first), len(first)),
        refused=Share(refused, len(ended)),
        tiers={t: tiers.count(t) for t in TIERS if t in tiers},
    )


def _of(facts: Mapping[str, Sequence[Evidence]], run: Run, gate: str) -> list[Evidence]:
    return [f for f in facts.get(run.run, ()) if f.gate == gate]


def _spread(values: Sequence[float]) -> Spread | None:
    low, median, high = (quantile(sorted(values), share) for share in (0.25, 0.5, 0.75))
    return None if low is None or median is None or high is None else Spread(median, low, high)


def oldest_first(waiting: Sequence[Run]) -> list[tuple[Run, str]]:
    """Waiting attempts with the agent that each waits for."""
    return [(r, agent_of(r)) for r in sorted(waiting, key=lambda r: r.started)]
