"""One contract for every board: the shipped fake and the real client on a real board must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from daemon.core.errors import Fenced, NotFound
from daemon.core.ports import Board, PageWrite
from daemon.core.status import Status
from daemon.core.task import Draft, Priority
from daemon.testing import MemoryBoard
from tests.board.conftest import Bench, Hand, claim

END = PageWrite(status=Status.COMPLETED, result="done", why="", report="http://x/1", claim=claim(lease=0))


@pytest.fixture(params=["memory", "notion"])
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    if request.param == "memory":
        yield MemoryBoard(lambda: 1_800_000_000.0)
        return
    bench: Bench = request.getfixturevalue("bench")
    yield bench.board()


def test_a_task_from_draft_to_completed(board: Board) -> None:
    board.open()
    made = board.create(Draft(title="x", handler="report", priority=Priority.HIGH, acceptance=("a", "b")))
    (seen,) = board.look()
    assert (seen.id, seen.title, seen.handler, seen.priority) == (made.id, "x", "report", Priority.HIGH)
    assert seen.acceptance == ("a", "b")
    claimed = board.claim(seen, claim(), 1)
    assert (claimed.status, claimed.claim, claimed.attempts, claimed.why) == (
        Status.IN_PROGRESS,
        claim(),
        1,
        "",
    )
    ended = board.write(made.id, claim(), END)
    assert (ended.status, ended.result, ended.report) == (Status.COMPLETED, "done", "http://x/1")
    assert board.look() == []
    assert board.get(made.id) == ended


def test_the_body_is_what_was_written_not_our_section(board: Board) -> None:
    task = board.create(Draft(title="x", body="First line.\n\nSecond line."))
    board.section(task.id, f"{task.id}.g1", "ours")
    assert [line for line in board.body(task.id).split("\n") if line] == ["First line.", "Second line."]
    with pytest.raises(NotFound):
        board.body("f" * 32)


def test_claiming_is_idempotent_for_one_hold_and_fenced_for_another(board: Board) -> None:
    task = board.create(Draft(title="x"))
    first = board.claim(task, claim(), 1)
    assert board.claim(task, claim(), 1) == first
    with pytest.raises(Fenced):
        board.claim(task, claim(1, nonce="other123"), 1)
    with pytest.raises(Fenced):
        board.claim(task, claim(2, nonce="other123"), 1)


def test_only_a_ready_page_can_be_claimed(board: Board) -> None:
    task = board.create(Draft(title="x", status=Status.DRAFT))
    with pytest.raises(Fenced):
        board.claim(task, claim(), 1)


def test_a_later_generation_needs_a_page_that_is_ready_again(board: Board) -> None:
    task = board.create(Draft(title="x"))
    board.claim(task, claim(), 1)
    board.write(task.id, claim(), END)
    board.set_status(task.id, Status.READY)
    second = claim(2, nonce="second12")
    with pytest.raises(Fenced):
        board.claim(task, claim(1, nonce="other123"), 1)
    assert board.claim(task, second, 2).claim == second
    with pytest.raises(Fenced):
        board.write(task.id, claim(), END)


def test_a_persons_status_stays_and_the_rest_is_written(board: Board) -> None:
    task = board.create(Draft(title="x"))
    board.claim(task, claim(), 1)
    board.set_status(task.id, Status.CANCELLED)
    after = board.write(task.id, claim(), END)
    assert (after.status, after.result) == (Status.CANCELLED, "done")


def test_an_ended_hold_changes_no_status_any_more(board: Board) -> None:
    """A late replay of the last write, after a person moved the page on."""
    task = board.create(Draft(title="x"))
    board.claim(task, claim(), 1)
    board.write(task.id, claim(), END)
    for human in (Status.READY, Status.IN_PROGRESS):
        board.set_status(task.id, human)
        assert board.write(task.id, claim(), END).status is human


def test_a_beat_renews_the_lease(board: Board) -> None:
    task = board.create(Draft(title="x"))
    board.claim(task, claim(), 1)
    renewed = replace(claim(), lease_until_ms=99)
    after = board.write(task.id, claim(), PageWrite(claim=renewed))
    assert (after.claim, after.status) == (renewed, Status.IN_PROGRESS)
    assert board.write(task.id, claim(), END).status is Status.COMPLETED


def test_a_note_is_for_ready_pages(board: Board) -> None:
    ready = board.create(Draft(title="x"))
    draft = board.create(Draft(title="y", status=Status.DRAFT))
    board.note(ready.id, why="waits")
    board.note(draft.id, why="waits")
    assert (board.get(ready.id).why, board.get(draft.id).why) == ("waits", "")
    board.note(ready.id, why="no such handler", status=Status.BLOCKED)
    assert board.get(ready.id).status is Status.BLOCKED


def test_one_key_one_page(board: Board) -> None:
    first = board.create(Draft(title="x", source_key="k"))
    assert board.create(Draft(title="y", source_key="k")).id == first.id
    assert board.create(Draft(title="y", source_key="k2")).id != first.id


def test_lists_are_newest_first_and_by_status(board: Board) -> None:
    first = board.create(Draft(title="a"))
    second = board.create(Draft(title="b", status=Status.DRAFT))
    assert {t.id for t in board.list()} == {first.id, second.id}
    assert [t.id for t in board.list(Status.DRAFT)] == [second.id]


@pytest.mark.parametrize(
    "call",
    [
        lambda b: b.get("f" * 32),
        lambda b: b.set_status("f" * 32, Status.READY),
        lambda b: b.note("f" * 32, why="x"),
        lambda b: b.write("f" * 32, claim(), END),
        lambda b: b.section("f" * 32, f"{'f' * 32}.g1", "x"),
        lambda b: b.get("not an id"),
    ],
)
def test_what_is_not_there_is_not_found(board: Board, call: Callable[[Board], object]) -> None:
    with pytest.raises(NotFound):
        call(board)


def said_on(board: Board, hand: Hand, task: str) -> tuple[str, list[str]]:
    """What the page shows: its body as Markdown, and its comments."""
    if isinstance(board, MemoryBoard):
        return board.sections.get(task, ""), list(board.comments.get(task, {}).values())
    body: str = hand("GET", f"pages/{task}/markdown")["markdown"]
    comments = hand("GET", f"comments?block_id={task}")["results"]
    return body, ["".join(run["plain_text"] for run in one["rich_text"]) for one in comments]


def test_sections_and_comments_take_place_once(board: Board, bench: Bench) -> None:
    """The section of a run replaces the one before; a comment is made once a key."""
    task = board.create(Draft(title="x")).id
    board.section(task, f"{task}.g1", "Alpha is done")
    board.section(task, f"{task}.g1", "Alpha is done")
    shown, _ = said_on(board, bench.hand, task)
    assert shown.count("Alpha is done") == 1
    board.section(task, f"{task}.g2", "Beta is done")
    shown, _ = said_on(board, bench.hand, task)
    assert shown.count("Beta is done") == 1 and "Alpha" not in shown
    board.comment(task, "k", "hello")
    board.comment(task, "k", "hello")
    board.comment(task, "other", "good-bye")
    _, comments = said_on(board, bench.hand, task)
    assert len(comments) == 2, comments
    assert "hello" in comments[0] and "good-bye" in comments[1]


def test_calls_are_counted(board: Board) -> None:
    board.look()
    assert board.calls()["look"] == 1


def test_an_ended_claim_is_not_renewed(board: Board) -> None:
    task = board.create(Draft(title="x"))
    board.claim(task, claim(), 1)
    board.write(task.id, claim(), END)
    page = board.write(task.id, claim(), PageWrite(claim=claim(lease=9_999_999_999_999)))
    assert page.claim == claim(lease=0) and page.status is Status.COMPLETED
