"""How agents do, from what their handoffs recorded."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.core.evidence import Evidence
from daemon.core.status import RunState
from daemon.store import Run
from daemon.web.scores import Share, handoff_scores

START = 1e9


def handed(number: int, state: RunState, took: float | None) -> Run:
    return Run(
        run=f"{number:032x}.g1",
        task=f"{number:032x}",
        generation=1,
        attempt=1,
        handler="handoff",
        host="h",
        state=state,
        claim="",
        title=f"Handed over {number}",
        page={"agents": ["Scribe"]},
        started=START,
        ended=None if took is None else START + took,
    )


def fact(gate: str, subject: str, ok: bool | None, after: float = 0.0, **data: Any) -> Evidence:
    return Evidence(gate=gate, kind="file", subject=subject, ok=ok, data=data, at=START + after)


def given() -> Evidence:
    return fact("packet.published", "packet", True, agent="scribe")


def taken(after: float) -> Evidence:
    return fact("ack.valid", "ACK.accepted.json", True, after)


def proved(**tiers: str) -> list[Evidence]:
    return [fact("criteria.verified", name, tier == "verified", tier=tier) for name, tier in tiers.items()]


def test_an_agent_is_scored_from_what_its_handoffs_recorded() -> None:
    runs = [
        handed(1, RunState.COMPLETED, 400),
        handed(2, RunState.COMPLETED, 500),
        handed(3, RunState.REVIEW, 600),
        handed(4, RunState.BLOCKED, 700),
        handed(5, RunState.WAITING, None),
        handed(6, RunState.BLOCKED, 1),  # not fit: it never reached the inbox
    ]
    rejected = fact("return.first_time", "RETURN.rejected-1.json", False)
    optional = fact("criteria.verified", "AC9", None, tier="asserted")
    facts = {
        runs[0].run: [given(), taken(10), *proved(AC1="verified", AC2="verified"), optional],
        runs[1].run: [given(), taken(20), rejected, *proved(AC1="verified")],
        runs[2].run: [given(), taken(60), *proved(AC1="asserted", AC2="verified")],
        runs[3].run: [given(), fact("ack.valid", "REFUSE.accepted.json", None, refused="unsafe")],
        runs[4].run: [given()],
    }
    (score,) = handoff_scores(runs, [runs[4]], facts)
    assert (score.agent, score.open, score.completed, score.review, score.failed) == ("scribe", 1, 2, 1, 1)
    assert score.acknowledged is not None and score.took is not None
    assert (score.acknowledged.low, score.acknowledged.median, score.acknowledged.high) == (10, 20, 60)
    assert score.took.median == 500
    assert score.first_time == Share(2, 3)
    assert score.refused == Share(1, 4)
    assert dict(score.tiers) == {"verified": 2, "asserted": 1}


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.278), (8, 10, 0.490, 0.943), (1, 1, 0.207, 1.0)],
)
def test_a_share_says_what_so_few_cases_allow(hits: int, of: int, low: float, high: float) -> None:
    """Against published values of Wilson's score interval."""
    assert Share(hits, of).interval == pytest.approx((low, high), abs=0.001)
