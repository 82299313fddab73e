"""The store: the same tests on SQLite and on a real PostgreSQL."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from daemon.core.errors import ConfigError
from daemon.core.evidence import Evidence, Gate, judge
from daemon.core.gates import Call, Decision
from daemon.core.status import RunState
from daemon.engine.past import open_tasks
from daemon.store import Run, Store, open_engine, tables
from daemon.store.database import CACHE_KIB, HEAP_MIB
from daemon.store.rows import Made

TASK = "a" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path: Path, clock: Clock):
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'state.db'}")
    else:
        engine = open_engine(request.getfixturevalue("postgres"))
        tables.metadata.drop_all(engine)
    yield Store(engine, clock, "s1")
    engine.dispose()


def attempt(generation: int = 1, state: RunState = RunState.RUNNING, **more) -> Run:
    values = {
        "run": f"{TASK}.g{generation}",
        "task": TASK,
        "generation": generation,
        "attempt": 1,
        "handler": "h",
        "host": "x",
        "state": state,
        "claim": "",
        "title": "T",
        "page": {"id": TASK},
        "started": 1000.0 + generation,
    }
    return Run(**{**values, **more})


def test_one_task_and_generation_is_started_once(store: Store) -> None:
    assert store.begin_run(attempt())
    assert not store.begin_run(attempt())
    assert store.begin_run(attempt(2))
    assert store.latest_runs([TASK])[TASK].generation == 2


def test_a_state_guard_holds(store: Store) -> None:
    store.begin_run(attempt())
    assert not store.change_run(f"{TASK}.g1", only_in=[RunState.WAITING], why="no")
    assert store.change_run(f"{TASK}.g1", only_in=[RunState.RUNNING], state=RunState.COMPLETED)
    found = store.run(f"{TASK}.g1")
    assert found is not None and found.state is RunState.COMPLETED and found.why == ""
    assert store.active_runs() == []


def test_steps_count_attempts_and_keep_order(store: Store, clock: Clock) -> None:
    run = f"{TASK}.g1"
    for name in ("b", "a"):
        store.step_began(run, name)
        clock.now += 2
        store.step_ended(run, name)
    store.step_began(run, "b")
    store.step_ended(run, "b", "broke")
    first, second = store.steps(run)
    assert (first.name, first.attempts, first.state, first.error) == ("b", 2, "failed", "broke")
    assert (second.name, second.seconds) == ("a", 2.0)


def test_the_first_measurement_stands(store: Store) -> None:
    run = f"{TASK}.g1"
    item = Evidence(gate="g", kind="file", subject="x", ok=True, data={"bytes": 1}, at=1001.0)
    store.add_evidence(run, item)
    store.add_evidence(run, Evidence(gate="g", kind="file", subject="x", ok=False, data={}, at=1002.0))
    assert store.evidence(run) == [item]
    judged = judge([Gate(name="g", title="It is there")], store.evidence(run), started=1000.0)
    store.put_gates(run, judged)
    store.put_gates(run, judged)
    assert store.gates(run) == judged


def test_decisions_replace_each_other(store: Store) -> None:
    def say(gate: str) -> Decision:
        return Decision(
            task_id=TASK,
            title="T",
            verdict=Call.HOLD,
            gate=gate,
            reason="r",
            would_change="w",
            since=1.0,
            at=2.0,
            next_look=None,
        )

    store.record_decisions([say("one")])
    store.record_decisions([say("two")])
    assert store.decision(TASK) == say("two")
    assert list(store.decisions().values()) == [say("two")]
    assert store.decision("b" * 32) is None


def test_open_tasks_are_those_of_the_handler_that_are_not_over(store: Store) -> None:
    def say(task: str, gate: str, at: float, handler: str = "music-sync") -> Decision:
        return Decision(
            task_id=task * 32,
            title=task,
            verdict=Call.HOLD,
            gate=gate,
            reason=f"because of {task}",
            would_change="w",
            since=1.0,
            at=at,
            next_look=None,
            handler=handler,
        )

    store.record_decisions(
        [
            say("a", "failed", 1.0),
            say("b", "retry", 3.0),
            say("c", "completed", 4.0),
            say("d", "cancelled", 5.0),
            say("e", "failed", 6.0, "report"),
            say("f", "review", 2.0),
        ]
    )
    found = open_tasks(store, "music-sync", "f" * 32, 5)
    assert [(t.title, t.gate, t.reason) for t in found] == [
        ("b", "retry", "because of b"),
        ("a", "failed", "because of a"),
    ]
    assert [t.title for t in open_tasks(store, "music-sync", "", 2)] == ["b", "f"]


def test_events_are_followed_by_id(store: Store) -> None:
    store.event("task.claimed", task=TASK, n=1)
    store.event("task.finished", task=TASK)
    store.event("other")
    first, second = store.events(task=TASK)
    assert first.data == {"n": 1}
    assert [e.name for e in store.events(after=second.id)] == ["other"]
    assert [e.name for e in store.last_events(2)] == ["task.finished", "other"]


def test_what_many_attempts_recorded_is_read_at_once(store: Store) -> None:
    runs = [f"{TASK}.g{n}" for n in (1, 2, 3)]
    gates = [Gate(name="a", title="A"), Gate(name="b", title="B"), Gate(name="c", title="C", required=False)]
    facts = [
        Evidence(gate=g, kind="check", subject=g, ok=ok, data={"n": 1}, at=1001.0)
        for g, ok in (("a", True), ("b", False), ("c", True))
    ]
    for run in runs[:2]:
        for fact in facts:
            store.add_evidence(run, fact)
    store.put_gates(runs[0], judge(gates, facts, started=1000.0))
    store.put_gates(runs[1], judge(gates, facts, started=1000.0, skipped=("b",)))
    assert store.facts(runs, ("a", "c")) == {r: [facts[0], facts[2]] for r in runs[:2]}
    assert store.facts(runs, ()) == {}
    assert store.proved(runs) == dict.fromkeys(runs[:2], (1, 2))
    store.put_gates(runs[1], judge(gates, facts[:1], started=1000.0, skipped=("b",)))
    assert store.proved(runs)[runs[1]] == (1, 1)


def test_an_outage_lasts_until_the_board_is_back(store: Store) -> None:
    assert store.outage() is None
    store.event("board.unreachable", error="no answer")
    store.event("task.finished", task="t")
    found = store.outage()
    assert found is not None and found.data["error"] == "no answer"
    store.event("board.back")
    assert store.outage() is None


def test_a_slot_is_filled_once(store: Store) -> None:
    assert store.claim_slot("nightly", 5.0)
    assert not store.claim_slot("nightly", 5.0)
    store.close_slot("nightly", 5.0, "ran", task=TASK)
    assert store.occurrences("nightly")[0].state == "ran"


def test_a_made_task_is_remembered_by_key(store: Store) -> None:
    made = Made(key="k", run="r", task=TASK, title="T", priority="Low", handler="", created=True, at=1.0)
    store.made(made)
    assert store.made_with("k") == made
    assert store.made_by("r") == [made]


def test_retention_keeps_the_generation(store: Store) -> None:
    store.begin_run(attempt(1, RunState.FAILED, ended=10.0))
    store.begin_run(attempt(2, RunState.COMPLETED, ended=20.0))
    assert store.prune(100.0) == [f"{TASK}.g1"]
    assert store.run(f"{TASK}.g1") is None
    assert store.latest_runs([TASK])[TASK].generation == 2


def test_retention_leaves_the_bare_row_of_the_newest_attempt(store: Store) -> None:
    """A million tasks that ended long ago are a million short rows, not their steps and evidence as well."""
    store.begin_run(attempt(1, RunState.COMPLETED, ended=20.0))
    run = f"{TASK}.g1"
    store.change_run(run, page={"title": "long"})
    store.step_began(run, "work")
    store.step_ended(run, "work")
    assert store.prune(10.0) == [] and store.steps(run)
    assert store.prune(100.0) == [run]
    kept = store.run(run)
    assert kept is not None and kept.page == {} and kept.generation == 1
    assert store.steps(run) == []
    assert store.prune(100.0) == [], "nothing is done twice"


def test_retention_keeps_the_last_slot_of_each_schedule(store: Store, clock: Clock) -> None:
    """Forgotten after a long sleep, a schedule would be taken for a new one and catch nothing up."""
    for schedule, slot in (("nightly", 1.0), ("nightly", 2.0), ("hourly", 3.0)):
        store.claim_slot(schedule, slot)
        store.close_slot(schedule, slot, "ran", task=TASK)
    store.prune(clock() + 1.0)
    assert [(o.schedule, o.slot) for o in store.occurrences()] == [("hourly", 3.0), ("nightly", 2.0)]


def test_the_store_id_outlives_the_process(tmp_path: Path, clock: Clock) -> None:
    for new in ("first", "second"):
        engine = open_engine(f"sqlite:///{tmp_path / 's.db'}")
        assert Store(engine, clock, new).id == "first"
        engine.dispose()


def test_a_store_of_a_newer_version_is_refused_with_what_to_do(store: Store, clock: Clock) -> None:
    with store.engine.begin() as c:
        c.execute(sa.update(tables.meta).where(tables.meta.c.key == "schema").values(value="99"))
    with pytest.raises(ConfigError, match="schema 99") as told:
        Store(store.engine, clock, "s2")
    assert "install that version" in told.value.hint


def test_a_table_that_a_newer_version_adds_is_made_beside_the_rest(store: Store, clock: Clock) -> None:
    tables.shares.drop(store.engine)  # as an older version left the store
    store.begin_run(attempt())
    again = Store(store.engine, clock, "s2")
    assert again.id == store.id
    assert again.run(attempt().run) == store.run(attempt().run)
    assert sa.inspect(again.engine).has_table("handoffd_shares")


def test_connections_are_small_and_share_one_limit(tmp_path: Path) -> None:
    """A daemon has two dozen of them; what each keeps is what its memory grows by."""
    engine = open_engine(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql("PRAGMA cache_size").scalar() == -CACHE_KIB
            assert connection.exec_driver_sql("PRAGMA soft_heap_limit").scalar() == HEAP_MIB << 20
    engine.dispose()
