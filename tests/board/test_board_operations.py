"""NotionBoard on a real local board: what each operation does, how often it calls, and that a person wins."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from daemon.board import budget, query
from daemon.core.claim import Claim
from daemon.core.errors import ConfigError, Fenced, NotFound
from daemon.core.ports import Board, PageWrite
from daemon.core.status import Status
from daemon.core.task import Draft, Priority
from tests.board.conftest import Bench, claim, text

DONE = PageWrite(
    status=Status.COMPLETED,
    result="4 files made",
    why="",
    report="http://127.0.0.1:8787/r/1",
    claim=claim(lease=0),
)


def test_it_is_a_board(bench: Bench) -> None:
    board: Board = bench.board()
    info = board.open()
    assert info.title == "Agent-Tasks"
    assert info.bound["claim"] == "Claim"
    assert info.missing == ()
    assert info.data_source_id == bench.source


def test_a_short_task_costs_two_calls_and_a_look_one(bench: Bench) -> None:
    bench.row()
    board = bench.board()
    board.open()
    bench.relay.forget()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    ended = board.write(task.id, claim(), DONE)
    assert bench.relay.paths() == ["POST /v1/data_sources/*/query", "PATCH /v1/pages/*", "PATCH /v1/pages/*"]
    assert (ended.status, ended.result, ended.report) == (Status.COMPLETED, DONE.result, DONE.report)
    assert board.calls() == {"open": 2, "editor": 1, "look": 1, "claim": 1, "finish": 1}
    assert [purpose for purpose, _, _ in bench.oncalls][-3:] == ["look", "claim", "finish"]


def test_AT_4_a_look_shows_ready_in_progress_and_waiting_only(bench: Bench) -> None:
    for status in Status:
        bench.row(title=status.value, status=status.value)
    board = bench.board()
    assert [t.title for t in board.look()] == ["Ready", "In Progress", "Waiting"]
    assert {t.status for t in board.list()} == set(Status)
    assert [t.title for t in board.list(Status.BLOCKED)] == ["Blocked"]


def test_AT_3_all_pages_are_read_oldest_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "PAGE_SIZE", 10)
    made = [bench.row(title=f"t{i}") for i in range(25)]
    board = bench.board()
    board.open()
    bench.relay.forget()
    assert [t.id for t in board.look()] == made
    assert len(bench.relay.calls) == 3
    assert [t.id for t in board.list()] == made[::-1]


def test_a_claim_says_all_at_once(bench: Bench) -> None:
    task_id = bench.row(Why=text("waits"))
    board = bench.board()
    (task,) = board.look()
    claimed = board.claim(task, claim(3, lease=77), 2)
    assert claimed.status is Status.IN_PROGRESS
    assert claimed.claim == claim(3, lease=77)
    assert (claimed.attempts, claimed.why) == (2, "")
    assert board.get(task_id) == claimed


def test_a_claim_reads_first_when_the_page_was_seen_long_ago(bench: Bench) -> None:
    task_id = bench.row()
    board = bench.board()
    (task,) = board.look()
    bench.hand.edit(task_id, Status="Cancelled")
    bench.later(6)
    with pytest.raises(Fenced, match="Cancelled"):
        board.claim(task, claim(), 1)
    assert board.get(task_id).claim is None


def test_P4_a_write_that_waited_for_its_place_in_the_budget_reads_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget is spent; while the claim waits, a person cancels. Seen a window ago is not seen."""
    task_id = bench.row()
    board = bench.board(rate_limit=5)
    (task,) = board.look()  # 4 calls of 5
    monkeypatch.setattr(budget, "WINDOW_S", 1.0)
    board.transport.budget.take(urgent=True, patience=0)

    def cancel() -> None:
        bench.hand.edit(task_id, Status="Cancelled")
        bench.later(10)

    threading.Timer(0.2, cancel).start()
    with pytest.raises(Fenced, match="Cancelled"):
        board.claim(task, claim(), 1)
    assert board.get(task_id).status is Status.CANCELLED


def test_a_budget_of_one_call_a_minute_still_writes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.row()
    monkeypatch.setattr(budget, "WINDOW_S", 0.05)
    board = bench.board(rate_limit=1)
    (task,) = board.look()
    bench.later(10)
    assert board.claim(task, claim(), 1).status is Status.IN_PROGRESS
    assert board.write(task.id, claim(), DONE).status is Status.COMPLETED


def test_claiming_again_after_a_crash_writes_nothing(bench: Bench) -> None:
    bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    fresh = bench.board()
    fresh.open()
    bench.relay.forget()
    assert fresh.claim(task, claim(), 1).status is Status.IN_PROGRESS
    assert bench.relay.paths() == ["GET /v1/pages/*"]


@pytest.mark.parametrize(
    ("there", "ours", "allowed"),
    [
        (claim(1, nonce="other123"), claim(2), True),
        (claim(2, nonce="other123"), claim(2), False),
        (claim(3, owner="store2/x"), claim(2), False),
        (claim(2), claim(2), True),
    ],
)
def test_a_claim_of_another_hold_fences(bench: Bench, there: Claim, ours: Claim, allowed: bool) -> None:
    bench.row(Claim=text(there.text()))
    board = bench.board()
    (task,) = board.look()
    if allowed:
        assert board.claim(task, ours, 1).claim == ours
    else:
        with pytest.raises(Fenced, match="generation"):
            board.claim(task, ours, 1)
        assert board.get(task.id).status is Status.READY


def test_text_that_is_no_claim_does_not_stand_in_the_way(bench: Bench) -> None:
    bench.row(Claim=text("Anna looks at this"))
    board = bench.board()
    (task,) = board.look()
    assert board.claim(task, claim(), 1).claim == claim()


def test_a_finish_without_our_claim_is_fenced(bench: Bench) -> None:
    task_id = bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    bench.hand.edit(task_id, Claim=text(claim(2, nonce="later123").text()))
    bench.later()
    with pytest.raises(Fenced, match="generation 2"):
        board.write(task_id, claim(), DONE)
    assert board.get(task_id).result == ""


@pytest.mark.parametrize("human", ["Cancelled", "Completed", "Ready", "Blocked"])
def test_P4_a_status_that_a_person_set_stays(bench: Bench, human: str) -> None:
    task_id = bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    bench.hand.edit(task_id, Status=human)
    bench.later()
    after = board.write(task_id, claim(), PageWrite(status=Status.FAILED, result="r", claim=claim(lease=0)))
    assert (after.status_name, after.result, after.claim) == (human, "r", claim(lease=0))


def test_a_replayed_finish_does_nothing(bench: Bench) -> None:
    bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    board.write(task.id, claim(), DONE)
    fresh = bench.board()
    fresh.open()
    bench.relay.forget()
    again = fresh.write(task.id, claim(), DONE)
    assert again.status is Status.COMPLETED
    assert bench.relay.paths() == ["GET /v1/pages/*"]


def test_a_late_replay_never_turns_a_page_back(bench: Bench) -> None:
    """The person set it Ready again after the end; the old run's last write comes once more."""
    task_id = bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    board.write(task_id, claim(), DONE)
    bench.hand.edit(task_id, Status="Ready")
    bench.later()
    assert board.write(task_id, claim(), DONE).status is Status.READY
    (task,) = board.look()
    second = claim(2, nonce="second12")
    board.claim(task, second, 1)
    with pytest.raises(Fenced):
        board.write(task_id, claim(), DONE)
    assert board.get(task_id).status is Status.IN_PROGRESS


def test_only_what_changes_is_sent(bench: Bench) -> None:
    """Pain 45, and a person's edit of another property in the same second survives."""
    task_id = bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    bench.hand.edit(task_id, Description=text("new words"))
    bench.relay.forget()
    board.write(task_id, claim(), PageWrite(why="downloads"))
    (call,) = bench.relay.calls
    assert len(call.body["properties"]) == 1
    assert board.get(task_id).description == "new words"


def test_a_waiting_page_is_ours_too(bench: Bench) -> None:
    bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    assert board.write(task.id, claim(), PageWrite(status=Status.WAITING)).status is Status.WAITING
    assert board.write(task.id, claim(), DONE).status is Status.COMPLETED


def test_a_note_is_made_on_a_ready_page_only(bench: Bench) -> None:
    ready, draft = bench.row(), bench.row(status="Draft")
    board = bench.board()
    board.open()
    board.note(ready, why="no handler")
    board.note(draft, why="no handler")
    assert (board.get(ready).why, board.get(draft).why) == ("no handler", "")
    bench.relay.forget()
    board.note(ready, why="no handler")
    assert bench.relay.paths() == []
    board.note(ready, why="unknown handler", status=Status.BLOCKED)
    assert (board.get(ready).status, board.get(ready).why) == (Status.BLOCKED, "unknown handler")


def test_a_note_does_not_touch_a_page_that_moved_on(bench: Bench) -> None:
    task_id = bench.row()
    board = bench.board()
    board.look()
    bench.hand.edit(task_id, Status="Cancelled")
    bench.later()
    board.note(task_id, why="x", status=Status.BLOCKED)
    assert (board.get(task_id).status, board.get(task_id).why) == (Status.CANCELLED, "")


def test_a_person_sets_a_status_through_us(bench: Bench) -> None:
    task_id = bench.row()
    board = bench.board()
    assert board.set_status(task_id, Status.CANCELLED).status is Status.CANCELLED
    calls = len(bench.relay.calls)
    board.set_status(task_id, Status.CANCELLED)
    assert len(bench.relay.calls) == calls + 1


def test_create_writes_every_field(bench: Bench) -> None:
    board = bench.board()
    first = board.create(Draft(title="first"))
    draft = Draft(
        title="Second \N{FIRE} task",
        status=Status.DRAFT,
        priority=Priority.HIGH,
        handler="report",
        agent="Claude MM1",
        task_type="Review",
        url="https://example.org/x",
        description="d" * 4001,
        parameters="a = 1\nb = 2",
        acceptance=("one", "two"),
        due=datetime(2027, 5, 1, 12, 30, 59, tzinfo=UTC),
        after=(first.id,),
        source_key="k/1",
        extra={"schedule": "0 6 * * *", "next_step": "go"},
        body="# Hello\n\nworld",
    )
    made = board.get(board.create(draft).id)
    assert made.title == draft.title
    assert (made.status, made.priority, made.handler) == (Status.DRAFT, Priority.HIGH, "report")
    assert (made.agents, made.agent, made.task_type) == (("Claude MM1",), "Claude MM1", "Review")
    assert (made.url, made.description, made.parameters) == (draft.url, draft.description, draft.parameters)
    assert (made.acceptance, made.after, made.source_key) == (draft.acceptance, draft.after, draft.source_key)
    assert made.due == datetime(2027, 5, 1, 12, 30, tzinfo=UTC)
    assert (made.schedule, made.next_step) == ("0 6 * * *", "go")
    assert made.number == (first.number or 0) + 1
    blocks = bench.hand("GET", f"blocks/{made.id}/children")["results"]
    assert [b["type"] for b in blocks] == ["heading_1", "paragraph"]


def test_AT_11_one_key_one_page(bench: Bench) -> None:
    board, other = bench.board(), bench.board()
    ids_ = {board.create(Draft(title="x", source_key="daily/2027-01-01")).id for _ in range(3)}
    ids_.add(other.create(Draft(title="y", source_key="daily/2027-01-01")).id)
    assert len(ids_) == 1
    assert board.create(Draft(title="x", source_key="daily/2027-01-02")).id not in ids_
    threads = [
        threading.Thread(target=lambda: ids_.add(board.create(Draft(title="z", source_key="same")).id))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(board.list()) == 3


def test_AT_17_creating_never_adds_an_option(bench: Bench) -> None:
    bench.schema(Priority={"select": {"options": [{"name": "Low"}]}})
    bench.schema(Handler={"select": {"options": [{"name": "report"}]}})
    board = bench.board()
    with pytest.raises(ConfigError, match="no option “Critical”; it has “Low”"):
        board.create(Draft(title="x", priority=Priority.CRITICAL))
    with pytest.raises(ConfigError, match="no option “typo”"):
        board.create(Draft(title="x", handler="typo"))
    assert board.create(Draft(title="x", handler="report")).handler == "report"
    options = bench.hand("GET", f"data_sources/{bench.source}")["properties"]["Handler"]["select"]["options"]
    assert [o["name"] for o in options] == ["report"]


def test_an_option_that_was_added_meanwhile_is_found(bench: Bench) -> None:
    bench.schema(Handler={"select": {"options": [{"name": "report"}]}})
    board = bench.board()
    board.open()
    bench.row(Handler={"select": {"name": "music-sync"}})
    assert board.create(Draft(title="x", handler="music-sync")).handler == "music-sync"


def test_a_key_without_a_property_is_refused(bench: Bench) -> None:
    bench.schema(Source_Key=None)
    with pytest.raises(ConfigError, match="source_key"):
        bench.board().create(Draft(title="x", source_key="k"))


def test_a_comment_is_made_once_per_key(bench: Bench) -> None:
    task_id = bench.row()
    board = bench.board()
    for _ in range(2):
        board.comment(task_id, "run/1", "hello\nworld")
        board.comment(task_id, "run/2", "again")
    found = bench.hand("GET", f"comments?block_id={task_id}")["results"]
    assert len(found) == 2


def test_get_says_why_it_finds_nothing(bench: Bench) -> None:
    board = bench.board()
    with pytest.raises(NotFound) as caught:
        board.get("0" * 32)
    assert "shared" in caught.value.hint
    task_id = bench.row()
    bench.hand("PATCH", f"pages/{task_id}", {"in_trash": True})
    with pytest.raises(NotFound, match="trash"):
        board.get(task_id)
    assert board.look() == []
    root = bench.hand("GET", f"databases/{bench.database}")["parent"]["page_id"]
    with pytest.raises(NotFound, match="not in the tasks database"):
        board.get(root)


def test_ids_in_any_form(bench: Bench) -> None:
    task_id = bench.row()
    board = bench.board()
    url = bench.hand("GET", f"pages/{task_id}")["url"]
    for form in (task_id, task_id.upper(), url, f"https://www.notion.so/A-task-{task_id}?pvs=4"):
        assert board.get(form).id == task_id
