"""The breaker of a handler: a fold over its ended attempts, and what the dispatch gates make of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.breaker import MARKS, Breaker, Mark, Pause
from daemon.core.errors import (
    AuthError,
    BlockedError,
    ConfigError,
    PermanentError,
    TransientError,
    Unreachable,
)
from daemon.core.gates import Call, HandlerFacts, Known, after_trial, decide
from daemon.core.outcome import Cancelled, Done, Failed, Fault, Retry, Snooze, fault_of
from daemon.core.routing import Route
from daemon.engine.policy import outcome_of
from daemon.testing import sample_task

BREAKER = Breaker(after=4, first=60.0, ceiling=600.0)


def mark(at: float, fault: Fault = Fault.TRANSIENT, task: str = "", took: float = 1.0) -> Mark:
    return Mark(
        run=f"r{at}",
        handler="h",
        task=task or f"t{at}",
        fault=fault,
        reason=f"error at {at}",
        started=at - took,
        ended=at,
    )


def opened(breaker: Breaker = BREAKER) -> list[Mark]:
    return [mark(100.0 + i) for i in range(breaker.after)]


def test_it_opens_after_so_many_faults_in_a_row_over_several_tasks() -> None:
    assert BREAKER.pause(opened()[:-1]) is None
    pause = BREAKER.pause(opened())
    assert pause is not None and (pause.since, pause.until, pause.level) == (103.0, 163.0, 1)
    assert "4 attempts of 4 tasks failed in a row" in pause.why and "error at 103" in pause.why


def test_marks_of_a_clock_that_was_ahead_pause_nobody() -> None:
    assert BREAKER.pause(opened(), now=103.0) is not None
    assert BREAKER.pause(opened(), now=50.0) is not None, "the clocks of two hosts may differ by so much"
    assert BREAKER.pause(opened(), now=30.0) is None


def test_one_poison_task_never_pauses_its_handler() -> None:
    assert BREAKER.pause([mark(100.0 + i, task="poison") for i in range(50)]) is None
    assert BREAKER.pause([mark(100.0 + i, task=f"poison{i % 2}") for i in range(50)]) is None


def test_a_result_of_its_own_closes_it_also_a_bad_one() -> None:
    assert BREAKER.pause([*opened(), mark(200.0, Fault.NONE)]) is None
    assert BREAKER.pause([*opened()[:3], mark(102.5, Fault.NONE), opened()[3]]) is None


def test_a_failed_trial_doubles_the_pause_up_to_the_ceiling_and_keeps_the_first_reason() -> None:
    marks, waits = opened(), []
    for _ in range(6):
        pause = BREAKER.pause(marks)
        assert pause is not None
        waits.append(pause.until - marks[-1].ended)
        assert (pause.since, pause.why) == (103.0, BREAKER.pause(opened()).why)  # type: ignore[union-attr]  # open
        marks.append(mark(pause.until + 5.0))
    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


def test_attempts_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() -> None:
    late = [mark(110.0 + i, took=30.0) for i in range(5)]
    assert BREAKER.pause([*opened(), *late]) == BREAKER.pause(opened())


def test_one_mistake_of_the_configuration_pauses_at_once_until_the_settings_change() -> None:
    broken = [mark(100.0, Fault.CONFIGURATION)]
    pause = BREAKER.pause(broken)
    assert pause is not None and pause.why == "its configuration is wrong: error at 100.0"
    assert BREAKER.pause(broken, configured_at=101.0) is None


def test_zero_switches_it_off() -> None:
    assert Breaker(after=0).pause([mark(float(i)) for i in range(100)]) is None


MARKED = st.lists(
    st.tuples(st.integers(1, 2000), st.sampled_from(list(Fault)), st.integers(0, 5), st.integers(0, 100)),
    max_size=MARKS,
    unique_by=lambda row: row[0],
)


@given(MARKED, st.randoms())
def test_what_it_decides_does_not_depend_on_the_order_it_is_told_in(rows: list[tuple], rng: object) -> None:  # type: ignore[type-arg]
    marks = [mark(float(at), fault, f"t{task}", float(took)) for at, fault, task, took in rows]
    mixed = list(marks)
    rng.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert BREAKER.pause(marks) == BREAKER.pause(mixed)


@given(MARKED)
def test_a_pause_always_ends_and_never_outlasts_the_ceiling(rows: list[tuple]) -> None:  # type: ignore[type-arg]
    marks = [mark(float(at), fault, f"t{task}", float(took)) for at, fault, task, took in rows]
    pause = BREAKER.pause(marks)
    if pause is not None:
        assert pause.why and pause.since < pause.until <= max(m.ended for m in marks) + BREAKER.ceiling
        assert all(m.fault is not Fault.NONE for m in marks if m.ended > pause.since)


def test_which_ends_count_as_faults() -> None:
    said = {
        Fault.TRANSIENT: TransientError("busy"),
        Fault.UNREACHABLE: Unreachable("away"),
        Fault.UNEXPECTED: ZeroDivisionError("oops"),
        Fault.CONFIGURATION: ConfigError("no key"),
        Fault.NONE: PermanentError("404"),
    }
    assert {f: fault_of(outcome_of(e)) for f, e in said.items()} == {f: f for f in said}
    assert fault_of(outcome_of(AuthError("refused"))) is Fault.CONFIGURATION
    assert fault_of(Done(summary="x")) is Fault.NONE and fault_of(Failed(reason="x")) is Fault.NONE
    for silent in (outcome_of(BlockedError("x")), Snooze(reason="x", after=1), Cancelled(reason="x")):
        assert fault_of(silent) is None
    assert fault_of(Retry(reason="x")) is Fault.TRANSIENT


def said(facts: HandlerFacts, now: float = 1000.0):  # type: ignore[no-untyped-def]
    known = Known(now=now, next_tick=now + 30, handlers={"h": facts})
    return decide(sample_task(), Route(handler="h", because="test"), known, {})


def test_the_gate_holds_with_words_that_stay_the_same_and_a_time_to_look_again() -> None:
    pause = Pause(since=900.0, until=1100.0, why="the service is down", level=1)
    facts = HandlerFacts(name="h", paused_since=pause.since, paused_until=pause.until, paused_why=pause.why)
    held = said(facts)
    assert (held.verdict, held.gate, held.next_look) == (Call.HOLD, "breaker", 1100.0)
    assert held.reason == "handler h is paused: the service is down" and held.on_page
    assert said(facts, now=1099.0).why_line() == held.why_line()
    free = said(facts, now=1101.0)
    assert free.verdict is Call.DISPATCH
    second = after_trial(free, facts, 1131.0)
    assert (second.verdict, second.gate, second.why_line()) == (Call.HOLD, "breaker", held.why_line())
    assert second.since == 900.0


def test_while_a_trial_runs_the_others_wait() -> None:
    facts = HandlerFacts(name="h", paused_until=900.0, paused_why="down", trial="x.g2")
    assert said(facts).gate == "breaker"
