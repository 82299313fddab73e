"""Claims that come to light late, on a board that daemons share without a store: what was proved stands."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.core.claim import Claim, Verify, over, parse, void
from daemon.core.errors import Fenced, TransientError
from daemon.core.ports import PageWrite
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from daemon.store import Run, Store, open_engine
from daemon.testing import MemoryBoard, QuietLog
from daemon.upheld import UpheldBoard

LEASE = 60.0
VERIFY = Verify(settle=6.0, call_timeout=4.0)


def claim(owner: str = "ours/here", generation: int = 1, base: int = 0, lease: int = 9_000_000) -> Claim:
    nonce = f"{owner[:2].encode().hex()}o{base}"
    return Claim(owner=owner, generation=generation, nonce=nonce, lease_until_ms=lease)


LATE = claim("other/there")


@dataclass
class Desk:
    inner: MemoryBoard
    board: UpheldBoard
    store: Store
    time: list[float]
    task: str

    def run(self, state: RunState, held: Claim, why: str = "") -> Run:
        page = self.inner.pages[self.task]
        run = Run(
            run=f"{self.task}.g{held.generation}",
            task=self.task,
            generation=held.generation,
            attempt=1,
            handler="h",
            host="here",
            state=state,
            claim=held.text(),
            title="t",
            page=msgspec.to_builtins(page),
            started=1.0,
            why=why,
        )
        assert self.store.begin_run(run)
        return run

    def page(self, **fields: Any) -> None:
        """As if somebody else had written it."""
        self.inner.pages[self.task] = replace(self.inner.pages[self.task], **fields)

    def now(self) -> tuple[Status | None, Claim | None]:
        page = self.inner.pages[self.task]
        return page.status, page.claim

    def later(self, seconds: float) -> None:
        self.time[0] += seconds


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    time = [1000.0]
    inner = MemoryBoard(lambda: time[0])
    store = Store(open_engine(f"sqlite:///{tmp_path / 'state.db'}"), lambda: time[0], "ours")
    board = UpheldBoard(
        inner,
        store,
        verify=lambda: VERIFY,
        lease=lambda: LEASE,
        clock=lambda: time[0],
        log=QuietLog(),
        monotonic=lambda: time[0],
    )
    yield Desk(inner, board, store, time, inner.create(Draft(title="t", handler="h")).id)
    store.close()


@pytest.mark.parametrize(
    ("nonce", "base"),
    [(over("abcd1234", claim(generation=3)), 3), (over("abcd1234", None), 0), ("abcd1234", 6)],
)
def test_the_nonce_tells_what_a_claim_was_decided_on(nonce: str, base: int) -> None:
    made = Claim(owner="a/b", generation=7, nonce=nonce, lease_until_ms=0)
    assert made.base == base
    assert parse(made.text()) == made


def test_a_claim_decided_on_before_ours_is_void_and_one_decided_on_with_ours_is_not() -> None:
    ours = claim(generation=2, base=1)
    assert void(claim("other/there", 2, 1), ours)
    assert void(claim("other/there", 9, 1), ours), "however far its own store has counted"
    assert not void(claim("other/there", 3, 2), ours)
    assert not void(replace(ours, lease_until_ms=1), ours)


@pytest.mark.parametrize("by", ["look", "get", "write"])
def test_a_run_under_way_writes_its_claim_back_and_goes_on(desk: Desk, by: str) -> None:
    desk.run(RunState.RUNNING, claim())
    desk.page(status=Status.IN_PROGRESS, claim=LATE)
    match by:
        case "look":
            (seen,) = desk.board.look()
        case "get":
            seen = desk.board.get(desk.task)
        case _:
            seen = desk.board.write(desk.task, claim(), PageWrite(result="done"))
            assert seen.result == "done"
    assert claim().same_hold(seen.claim)
    assert seen.status is Status.IN_PROGRESS
    assert seen.claim.lease_until_ms == int((desk.time[0] + LEASE) * 1000)
    (said,) = [e for e in desk.store.events(task=desk.task) if e.name == "claim.upheld"]
    assert said.data["over"] == LATE.text()


def test_a_task_that_waits_is_waiting_again(desk: Desk) -> None:
    desk.run(RunState.WAITING, claim(), why="waits for codex")
    desk.page(status=Status.IN_PROGRESS, claim=LATE, why="")
    desk.board.look()
    assert desk.now()[0] is Status.WAITING
    assert desk.inner.pages[desk.task].why == "waits for codex"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RunState.COMPLETED, Status.COMPLETED),
        (RunState.FAILED, Status.FAILED),
        (RunState.BLOCKED, Status.BLOCKED),
        (RunState.REVIEW, Status.REVIEW),
        (RunState.RETRYING, Status.READY),
    ],
)
def test_an_end_that_was_overwritten_is_written_back_before_anybody_may_claim(
    desk: Desk, state: RunState, status: Status
) -> None:
    desk.run(state, claim(), why="so it ended")
    desk.page(status=Status.IN_PROGRESS, claim=LATE, why="")
    desk.board.look()
    desk.later(0.9 * LEASE)
    desk.board.look()
    assert desk.now() == (Status.IN_PROGRESS, LATE), "its owner may live: it has a lease to say so"
    desk.later(0.2 * LEASE)
    desk.board.look()
    assert desk.now() == (status, replace(claim(), lease_until_ms=0))
    assert desk.inner.pages[desk.task].why == "so it ended"


def test_a_claim_that_beats_is_somebodys_work_and_left_alone(desk: Desk) -> None:
    """A person emptied the Claim and set Ready: it looks late, and lives."""
    desk.run(RunState.COMPLETED, claim())
    for beat in range(6):
        living = replace(LATE, lease_until_ms=9_000_000 + beat)
        desk.page(status=Status.IN_PROGRESS, claim=living)
        desk.board.look()
        desk.later(0.5 * LEASE)
        assert desk.now() == (Status.IN_PROGRESS, living)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.COMPLETED])
def test_a_newer_claim_stands(desk: Desk, state: RunState) -> None:
    desk.run(state, claim())
    newer = claim("other/there", 2, 1)
    desk.page(status=Status.IN_PROGRESS, claim=newer)
    desk.board.look()
    desk.later(2 * LEASE)
    (seen,) = desk.board.look()
    assert seen.claim == newer
    with pytest.raises(Fenced):
        desk.board.write(desk.task, claim(), PageWrite(result="x"))
    assert desk.now() == (Status.IN_PROGRESS, newer)


@pytest.mark.parametrize("state", [RunState.CLAIMING, RunState.RELEASED, RunState.CANCELLED])
def test_what_was_not_proved_or_is_a_persons_is_not_upheld(desk: Desk, state: RunState) -> None:
    desk.run(state, claim())
    desk.page(status=Status.IN_PROGRESS, claim=LATE)
    desk.board.look()
    desk.later(2 * LEASE)
    desk.board.look()
    assert desk.board.get(desk.task).claim == LATE
    with pytest.raises(Fenced):
        desk.board.write(desk.task, claim(), PageWrite(result="x"))


@pytest.mark.parametrize("status", [Status.READY, Status.CANCELLED, Status.COMPLETED])
def test_a_status_that_a_person_set_is_left_alone(desk: Desk, status: Status) -> None:
    desk.run(RunState.RUNNING, claim())
    desk.page(status=status, claim=LATE)
    desk.board.look()
    assert desk.board.get(desk.task).claim == LATE
    assert desk.now() == (status, LATE)


def test_our_own_claim_that_lands_over_our_end_is_ended_again(desk: Desk) -> None:
    desk.run(RunState.COMPLETED, claim())
    desk.page(status=Status.IN_PROGRESS, claim=claim())
    desk.board.look()
    desk.later(1.1 * LEASE)
    desk.board.look()
    assert desk.now() == (Status.COMPLETED, replace(claim(), lease_until_ms=0))


def test_a_write_back_that_fails_says_nothing_of_the_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for a loss it would stop a run whose claim is good."""
    desk.run(RunState.RUNNING, claim())
    desk.page(status=Status.IN_PROGRESS, claim=LATE)

    def busy(*_: Any) -> None:
        raise Fenced("the board was too slow")

    with monkeypatch.context() as patch:
        patch.setattr(desk.inner, "claim_in_time", busy)
        for act in (desk.board.get, lambda t: desk.board.write(t, claim(), PageWrite(result="x"))):
            with pytest.raises(TransientError, match="does not count"):
                act(desk.task)
        (seen,) = desk.board.look()
        assert seen.claim == LATE, "one page that can't be mended does not end the look"
    desk.board.look()
    assert claim().same_hold(desk.now()[1])


def test_with_a_common_store_the_board_is_as_it_is(desk: Desk) -> None:
    plain = UpheldBoard(
        desk.inner, desk.store, verify=lambda: None, lease=lambda: LEASE, clock=lambda: 0.0, log=QuietLog()
    )
    desk.run(RunState.RUNNING, claim())
    desk.page(status=Status.IN_PROGRESS, claim=LATE)
    assert plain.look()[0].claim == LATE
    assert plain.get(desk.task).claim == LATE
    with pytest.raises(Fenced):
        plain.write(desk.task, claim(), PageWrite(result="x"))
