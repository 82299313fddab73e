"""``why``: the newer record speaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.cli.shapes import why
from daemon.core.gates import Call, Decision
from daemon.core.status import RunState
from daemon.store import Event, Run

TASK = "a" * 32
HELD = Decision(
    task_id=TASK,
    title="t",
    verdict=Call.HOLD,
    gate="prerequisites",
    reason="waits for 1 of 1 prerequisite(s)",
    would_change="they become Completed",
    since=1000.0,
    at=2000.0,
    next_look=2030.5,
)
RUN = Run(
    run=f"{TASK}.g1",
    task=TASK,
    generation=1,
    attempt=1,
    handler="handoff",
    host="h",
    state=RunState.RUNNING,
    claim="s/h 1 abcd 0",
    title="t",
    page={},
    started=1500.0,
)
KEYS = {"id", "verdict", "gate", "since", "would_change", "next_look", "at"}


def test_the_decision_as_it_was_recorded() -> None:
    said = why(TASK, HELD, None)
    assert said["verdict"] == "hold"
    assert said["gate"] == "prerequisites"
    assert said["since"] == 1000.0
    assert said["next_look"] == 2030.5
    assert set(said) >= KEYS


def test_a_run_under_way_is_what_the_task_is_doing() -> None:
    run = replace(RUN, progress={"done": 2, "total": 4, "note": "decoding"})
    said = why(TASK, HELD, run)
    assert (said["verdict"], said["run"]) == ("running", RUN.run)
    assert said["reason"] == "2 of 4 decoding"


def test_an_ended_run_speaks_until_a_newer_decision_does() -> None:
    failed = replace(RUN, state=RunState.FAILED, ended=1900.0, why="404")
    assert why(TASK, HELD, failed)["verdict"] == "hold"
    assert why(TASK, HELD, replace(failed, ended=2500.0))["verdict"] == "failed"
    assert why(TASK, HELD, replace(failed, ended=2500.0))["reason"] == "404"


def test_a_waiting_run_says_what_it_waits_for() -> None:
    waiting = replace(RUN, state=RunState.WAITING, wait_for="an answer from cursor", look_again=2.0)
    said = why(TASK, None, waiting)
    assert said["would_change"] == "an answer from cursor"
    assert said["next_look"] is None  # look_again is a span, and when it was last looked is not recorded


def test_a_retry_has_its_time() -> None:
    said = why(TASK, HELD, replace(RUN, state=RunState.RETRYING, ended=2500.0, retry_at=2510.0))
    assert (said["gate"], said["next_look"]) == ("backoff", 2510.0)


def test_a_board_that_can_not_be_read_stands_beside_the_word_before() -> None:
    out = Event(id=1, at=2500.0, name="board.unreachable", task="", run="", data={"error": "no answer"})
    told = {"error": "no answer", "since": 2500.0}
    assert why(TASK, HELD, None, out) == {**why(TASK, HELD, None), "board": told}
    assert why(TASK, None, RUN, out)["board"] == told
    assert why(TASK, None, None, out)["board"] == told
    assert why(TASK, replace(HELD, at=2600.0), None, out)["board"] is None  # it was read after that
    assert why(TASK, HELD, RUN)["board"] is None


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_of_a_run_has_an_answer(state: RunState) -> None:
    said = why(TASK, None, replace(RUN, state=state, ended=1900.0 if state.final else None))
    assert set(said) >= KEYS
    assert said["would_change"]
    assert said["reason"]
