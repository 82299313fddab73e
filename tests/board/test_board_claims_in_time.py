"""A claim beside daemons without a common store: what it costs, and which answers count (docs/claims.md)."""

from __future__ import annotations

import threading

import pytest

from daemon.core.claim import Claim, Verify
from daemon.core.errors import Ambiguous, Fenced, HandoffdError
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from tests.board.conftest import Bench
from tests.board.relay import Rule

PATIENT = Verify(settle=20.0, call_timeout=10.0)
SHORT = Verify(settle=2.0, call_timeout=1.0)


def claim(owner: str = "store1/host1", generation: int = 1, nonce: str = "abcd1234") -> Claim:
    return Claim(owner=owner, generation=generation, nonce=nonce, lease_until_ms=4_000_000_000_000)


def test_it_reads_and_writes_once(bench: Bench) -> None:
    board = bench.board()
    task = board.get(bench.row())
    bench.relay.forget()
    page = board.claim_in_time(task, claim(), 1, PATIENT)
    assert page.status is Status.IN_PROGRESS and page.claim == claim()
    assert [c.method for c in bench.relay.calls] == ["GET", "PATCH"]


def test_a_page_that_is_taken_is_not_written(bench: Bench) -> None:
    board = bench.board()
    task = board.get(bench.row())
    board.claim_in_time(task, claim(), 1, PATIENT)
    bench.relay.forget()
    with pytest.raises(Fenced):
        board.claim_in_time(task, claim("store2/host2", nonce="other123"), 1, PATIENT)
    assert [c.method for c in bench.relay.calls] == ["GET"]


def test_a_page_whose_claim_is_not_the_one_that_was_decided_on_is_not_written(bench: Bench) -> None:
    """The base that a claim tells is what stood on the page: else a good claim would look like a late one."""
    board = bench.board()
    task = board.get(bench.row())
    blind = claim(generation=3, nonce="abcd1234o2")
    with pytest.raises(Fenced, match="another claim than when it was decided"):
        board.claim_in_time(task, blind, 1, PATIENT)
    assert board.claim_in_time(task, claim(generation=3, nonce="abcd1234o0"), 1, PATIENT).claim is not None


def test_a_lost_answer_is_followed_by_a_read_and_never_by_a_second_write(bench: Bench) -> None:
    board = bench.board()
    task = board.get(bench.row())
    bench.relay.forget()
    bench.relay.rules.append(Rule(method="PATCH", after=True, cut=True))
    assert board.claim_in_time(task, claim(), 1, PATIENT).claim == claim()
    assert [c.method for c in bench.relay.calls] == ["GET", "PATCH", "GET"]


def test_a_claim_that_lands_too_late_is_not_used(bench: Bench) -> None:
    board = bench.board()
    task = board.get(bench.row())
    bench.relay.forget()
    bench.relay.rules.append(Rule(method="PATCH", delay=2.5, pass_on=True))
    with pytest.raises((Ambiguous, Fenced)):
        board.claim_in_time(task, claim(), 1, SHORT)
    assert sum(c.method == "PATCH" for c in bench.relay.calls) <= 1


def test_notion_patch_landed_after_timeout_is_fenced(bench: Bench) -> None:
    """A late claim lies over the one that runs: the run's next write finds out, and changes nothing."""
    board = bench.board(timeout=30.0)
    task = board.get(bench.row())
    board.claim_in_time(task, claim(), 1, PATIENT)
    late = claim("store2/host2", nonce="late1234")
    bench.hand.edit(task.id, Claim={"rich_text": [{"text": {"content": late.text()}}]})
    with pytest.raises(Fenced):
        board.write(task.id, claim(), PageWrite(status=Status.COMPLETED))
    assert board.get(task.id).status is Status.IN_PROGRESS


def test_a_lapsed_claim_is_claimed_over_and_a_renewed_one_is_not(bench: Bench) -> None:
    board = bench.board()
    task = board.get(bench.row())
    old = claim()
    held = board.claim_in_time(task, old, 1, PATIENT)
    renewed = Claim(owner=old.owner, generation=1, nonce=old.nonce, lease_until_ms=old.lease_until_ms + 1)
    newer = claim("store2/host2", 2, "newer123")
    with pytest.raises(Fenced):
        board.claim_in_time(held, newer, 1, PATIENT, over=renewed)
    assert board.claim_in_time(held, newer, 1, PATIENT, over=old).claim == newer


@pytest.mark.parametrize("rivals", [2, 4])
def test_of_claims_in_the_same_moment_one_is_read_back(bench: Bench, rivals: int) -> None:
    """Every writer may be told that its write was taken; one nonce stands when all have landed."""
    tasks = [bench.row(f"task {n}") for n in range(6)]
    boards = [bench.board() for _ in range(rivals)]
    for board in boards:
        board.open()
    bench.relay.rules.append(Rule(method="PATCH", delay=0.3, pass_on=True, times=3 * rivals))
    for number in tasks:
        start = threading.Barrier(rivals)
        took: dict[int, Claim] = {}

        def go(me: int, task: str, start: threading.Barrier, took: dict[int, Claim]) -> None:
            mine = claim(f"store{me}/host{me}", nonce=f"nonce{me:04}")
            seen = boards[me].get(task)
            start.wait(30)
            try:
                boards[me].claim_in_time(seen, mine, 1, PATIENT)
            except HandoffdError:
                return
            took[me] = mine

        threads = [threading.Thread(target=go, args=(me, number, start, took)) for me in range(rivals)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        standing = boards[0].get(number).claim
        assert sum(c.same_hold(standing) for c in took.values()) == 1
