"""The board fails at every bad moment, on a real local board behind a relay: nothing lost, nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from daemon.board import NotionBoard, creating, query
from daemon.board.answers import QuotaError, Refused
from daemon.core.errors import (
    Ambiguous,
    AuthError,
    ConfigError,
    Fenced,
    HandoffdError,
    NotFound,
    PermanentError,
    TransientError,
    Unreachable,
)
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.core.task import Draft, Task
from tests.board.conftest import Bench, claim, text
from tests.board.relay import error

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500, "body": error(500, "internal_server_error")},
    "502-html": {"status": 502, "body": "<html>Bad gateway</html>"},
    "503": {"status": 503, "body": error(503, "service_unavailable")},
    "503-saved": {"status": 503, "body": error(503, "service_unavailable", "The change was saved")},
    "504": {"status": 504, "body": error(504, "gateway_timeout")},
    "409": {"status": 409, "body": error(409, "conflict_error")},
    "cut": {"cut": True},
    "cut-json": {"cut": True, "status": 200, "body": '{"object": "page", "id"'},
    "200-html": {"status": 200, "body": "<html>Log in to the hotel's network</html>"},
}


@pytest.fixture
def started(bench: Bench) -> tuple[NotionBoard, Task]:
    bench.row()
    board = bench.board()
    (task,) = board.look()
    bench.relay.forget()
    return board, task


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_claim_whose_answer_is_lost(
    bench: Bench, started: tuple[NotionBoard, Task], fault: dict[str, Any], after: bool
) -> None:
    board, task = started
    bench.relay.rule("PATCH", "/v1/pages/", after=after, **fault)
    assert board.claim(task, claim(), 1).claim == claim()
    read_back = ["PATCH /v1/pages/*", "GET /v1/pages/*"]
    assert bench.relay.paths() == (read_back if after else [*read_back, "PATCH /v1/pages/*"])


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("fault", [FAULTS["502-html"], FAULTS["cut"]], ids=["502", "cut"])
def test_a_finish_whose_answer_is_lost(
    bench: Bench, started: tuple[NotionBoard, Task], fault: dict[str, Any], after: bool
) -> None:
    board, task = started
    board.claim(task, claim(), 1)
    bench.relay.rule("PATCH", "/v1/pages/", after=after, **fault)
    wanted = PageWrite(status=Status.COMPLETED, result="r", claim=claim(lease=0))
    assert board.write(task.id, claim(), wanted).status is Status.COMPLETED
    assert board.get(task.id).result == "r"


def test_a_lease_renewed_while_the_run_ends_does_not_come_back(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    """The tick's beat was on its way when the run wrote its end; the beat landed last, and the finished page
    carried a live claim."""
    board, task = started
    board.claim(task, claim(), 1)
    end = PageWrite(status=Status.COMPLETED, result="r", claim=claim(lease=0))
    run = threading.Thread(target=board.write, args=(task.id, claim(), end))

    def ends_meanwhile() -> None:
        run.start()
        run.join(0.5)  # without the lock it is through by now

    bench.relay.rule("PATCH", "/v1/pages/", then=ends_meanwhile, pass_on=True)
    board.write(task.id, claim(), PageWrite(claim=claim(lease=9_999_999_999_999)))
    run.join(10.0)
    page = board.get(task.id)
    assert page.status is Status.COMPLETED and page.claim == claim(lease=0)


def test_a_person_cancels_while_the_answer_is_lost(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started

    def cancel() -> None:
        bench.hand.edit(task.id, Status="Cancelled")

    bench.relay.rule("PATCH", "/v1/pages/", then=cancel, **FAULTS["502-html"])
    with pytest.raises(Fenced, match="Cancelled"):
        board.claim(task, claim(), 1)
    assert board.get(task.id).status is Status.CANCELLED


@pytest.mark.parametrize("status", [429, 529])
def test_P4_a_person_cancels_while_a_write_has_to_wait(
    bench: Bench, started: tuple[NotionBoard, Task], status: int
) -> None:
    """The service takes no writes for a while. What was seen before that is not what stands there after it:
    the page is read again, and the person's word stays."""
    board, task = started

    def cancel() -> None:
        bench.hand.edit(task.id, Status="Cancelled")
        bench.later(40)

    wait = {"status": status, "headers": {"Retry-After": "1"}, "body": error(status, "rate_limited")}
    bench.relay.rule("PATCH", "/v1/pages/", then=cancel, **wait)
    with pytest.raises(Fenced, match="Cancelled"):
        board.claim(task, claim(), 1)
    assert bench.relay.paths() == ["PATCH /v1/pages/*", "GET /v1/pages/*"]
    assert board.get(task.id).status is Status.CANCELLED


def test_a_key_that_somebody_else_used_while_a_creation_had_to_wait_is_found(bench: Bench) -> None:
    board = bench.board()
    board.open()
    made: list[str] = []

    def other() -> None:
        made.append(bench.row(title="x", Source_Key=text("k")))

    wait = {"status": 429, "headers": {"Retry-After": "1"}, "body": error(429, "rate_limited")}
    bench.relay.rule("POST", "/v1/pages", then=other, **wait)
    assert board.create(Draft(title="x", source_key="k")).id == made[0]
    assert len(board.list()) == 1


def test_another_daemon_claims_while_the_answer_is_lost(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    other = claim(1, owner="store2/b", nonce="theirs12")

    def steal() -> None:
        bench.hand.edit(task.id, Status="In Progress", Claim=text(other.text()))

    bench.relay.rule("PATCH", "/v1/pages/", then=steal, **FAULTS["cut"])
    with pytest.raises(Fenced):
        board.claim(task, claim(), 1)
    assert board.get(task.id).claim == other


def test_the_board_stays_away_the_caller_is_told_and_a_replay_ends_it(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    board.claim(task, claim(), 1)
    bench.relay.rule(times=999, **FAULTS["502-html"])
    short = bench.board(give_up=2.0)
    wanted = PageWrite(status=Status.COMPLETED, result="r")
    with pytest.raises(TransientError):
        short.write(task.id, claim(), wanted)
    bench.relay.rules.clear()
    short.open()
    assert short.write(task.id, claim(), wanted).status is Status.COMPLETED


def test_one_operation_has_one_deadline(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    """Lost answers and failing read-backs together: the caller is told once, after board.give_up."""
    _, task = started
    board = bench.board(give_up=2.0)
    board.open()
    bench.relay.rule(times=999, **FAULTS["502-html"])
    begun = time.monotonic()
    with pytest.raises(TransientError):
        board.claim(task, claim(), 1)
    assert time.monotonic() - begun < 3.9


def test_a_look_of_many_pages_has_one_deadline(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page would come within board.give_up; all of them would take five times that."""
    monkeypatch.setattr(query, "PAGE_SIZE", 1)
    for n in range(6):
        bench.row(title=f"t{n}")
    board = bench.board(give_up=2.5)
    board.open()
    wait = {"status": 429, "headers": {"Retry-After": "1"}, "body": error(429, "rate_limited")}
    for _ in range(6):
        bench.relay.rule("POST", "/query", **wait)
        bench.relay.rule("POST", "/query", pass_on=True)
    begun = time.monotonic()
    with pytest.raises(TransientError):
        board.look()
    assert time.monotonic() - begun < 5.0
    bench.relay.rules.clear()
    assert len(board.look()) == 6


def test_a_long_reading_is_not_ended_for_being_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what fails uses up the time that an operation has for its tries."""
    monkeypatch.setattr(query, "PAGE_SIZE", 1)
    for n in range(6):
        bench.row(title=f"t{n}")
    board = bench.board(give_up=1.5)
    board.open()
    bench.relay.rule("POST", "/query", times=5, delay=0.5, pass_on=True)
    bench.relay.rule("POST", "/query", **FAULTS["502-html"])
    assert len(board.look()) == 6


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("fault", [FAULTS["504"], FAULTS["cut"]], ids=["504", "cut"])
def test_a_create_whose_answer_is_lost_makes_one_page(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], after: bool
) -> None:
    monkeypatch.setattr(creating, "LOOKS", (0.01, 0.02))
    board = bench.board()
    board.open()
    bench.relay.rule("POST", "/v1/pages", after=after, **fault)
    made = board.create(Draft(title="x", source_key="k"))
    assert [t.id for t in board.list()] == [made.id]


def test_a_lost_create_is_looked_for_while_queries_lag(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there, two queries don't show it yet (pain 35): it is not made a second time."""
    monkeypatch.setattr(creating, "LOOKS", (0.01, 0.01, 0.01, 0.01))
    board = bench.board()
    board.open()

    def empty(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "results": [], "has_more": False}

    bench.relay.rule("POST", "/query", times=3, edit=empty)
    bench.relay.rule("POST", "/v1/pages", after=True, **FAULTS["504"])
    board.create(Draft(title="x", source_key="k"))
    assert len(board.list()) == 1


def test_a_lost_create_without_a_key_is_left_to_the_caller(bench: Bench) -> None:
    board = bench.board()
    board.open()
    bench.relay.rule("POST", "/v1/pages", after=True, **FAULTS["504"])
    with pytest.raises(Ambiguous):
        board.create(Draft(title="x"))
    assert len(board.list()) == 1


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
def test_a_comment_whose_answer_is_lost_is_made_once(bench: Bench, after: bool) -> None:
    task_id = bench.row()
    board = bench.board()
    bench.relay.rule("POST", "/v1/comments", after=after, **FAULTS["502-html"])
    board.comment(task_id, "k", "hello")
    assert len(bench.hand("GET", f"comments?block_id={task_id}")["results"]) == 1


def test_AT_2_an_error_is_never_an_empty_board(bench: Bench) -> None:
    bench.row()
    board = bench.board(give_up=0.5)
    board.open()
    kinds: list[tuple[dict[str, Any], type[HandoffdError]]] = [
        (FAULTS["502-html"], Unreachable),
        (FAULTS["200-html"], Unreachable),
        ({"status": 200, "body": {"object": "list"}}, TransientError),
        ({"status": 200, "body": {"object": "list", "results": [{}]}}, TransientError),
        ({"status": 401, "body": error(401, "unauthorized")}, AuthError),
        ({"status": 404, "body": error(404, "object_not_found")}, NotFound),
        ({"status": 400, "body": error(400, "validation_error", "what?")}, Refused),
    ]
    for fault, kind in kinds:
        bench.relay.rules.clear()
        bench.relay.rule("POST", "/query", times=9, **fault)
        with pytest.raises(kind):
            board.look()
    bench.relay.rules.clear()
    assert len(board.look()) == 1


def test_pain_12_a_query_is_asked_again_after_5xx(bench: Bench) -> None:
    bench.row()
    board = bench.board()
    board.open()
    for name in ("502-html", "504", "cut"):
        bench.relay.rule("POST", "/query", **FAULTS[name])
    assert len(board.look()) == 1
    assert board.calls()["look"] == 4


def test_pain_32_a_cursor_that_became_invalid_starts_the_reading_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "PAGE_SIZE", 2)
    made = [bench.row(title=f"t{i}") for i in range(5)]
    board = bench.board()
    board.open()
    refusal = error(400, "validation_error", "The start_cursor provided is invalid: s:1:2")
    bench.relay.rule("POST", "/query", pass_on=True)
    bench.relay.rule("POST", "/query", status=400, body=refusal)
    bench.relay.forget()
    assert [t.id for t in board.look()] == made
    assert len(bench.relay.calls) == 5
    bench.relay.rule("POST", "/query", pass_on=True)
    for _ in range(9):
        bench.relay.rule("POST", "/query", status=400, body=refusal)
        bench.relay.rule("POST", "/query", pass_on=True)
    with pytest.raises(PermanentError, match="start_cursor"):
        board.look()


def test_pages_that_shift_while_they_are_read_show_each_row_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "PAGE_SIZE", 2)
    made = [bench.row(title=f"t{i}") for i in range(4)]
    board = bench.board()
    board.open()
    first: dict[str, Any] = {}

    def keep(answer: dict[str, Any]) -> dict[str, Any]:
        first.update(answer)
        return answer

    def again(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "results": [first["results"][1], *answer["results"]]}

    bench.relay.rule("POST", "/query", edit=keep)
    bench.relay.rule("POST", "/query", edit=again)
    assert [t.id for t in board.look()] == made


def test_a_cursor_that_leads_in_a_circle_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.row()
    board = bench.board()
    board.open()

    def circle(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "has_more": True, "next_cursor": None}

    bench.relay.rule("POST", "/query", edit=circle)
    with pytest.raises(TransientError, match="no way on"):
        board.look()


def test_pain_33_beyond_the_cap_of_results_the_reading_goes_on_by_creation_time(bench: Bench) -> None:
    made = [bench.row(title=f"t{i}") for i in range(4)]
    board = bench.board()
    board.open()
    windows: list[Any] = []

    def capped(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "results": answer["results"][:2], "request_status": {"type": "incomplete"}}

    bench.relay.rule("POST", "/query", edit=capped)
    bench.relay.forget()
    assert [t.id for t in board.look()] == made
    windows = [c.body["filter"] for c in bench.relay.calls]
    assert "and" not in windows[0]
    assert windows[1]["and"][1]["created_time"]["on_or_after"]
    bench.relay.rule("POST", "/query", times=3, edit=capped)
    with pytest.raises(PermanentError, match="one minute"):
        board.look()


@pytest.mark.parametrize("newest_first", [False, True], ids=["look", "list"])
def test_pain_33_the_boards_own_cap_cuts_no_row_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    """The service's 10,000, here 5, in either direction of time."""
    monkeypatch.setattr("daemon.local_board.query.RESULT_LIMIT", 5)
    monkeypatch.setattr(query, "PAGE_SIZE", 2)
    made = []
    for n in range(11):
        bench.pass_time(60)
        made.append(bench.row(title=f"t{n}"))
    board = bench.board()
    found = board.list() if newest_first else board.look()
    assert [t.id for t in found] == (made[::-1] if newest_first else made)


def test_pain_35_a_stale_query_does_not_fence_our_own_run(bench: Bench) -> None:
    """A look that still shows the page Ready comes after our claim: the page itself is asked before we
    stop."""
    bench.row()
    board = bench.board()
    old: dict[str, Any] = {}

    def keep(answer: dict[str, Any]) -> dict[str, Any]:
        old.update(answer)
        return answer

    bench.relay.rule("POST", "/query", edit=keep)
    (task,) = board.look()
    board.claim(task, claim(), 1)
    bench.later(1)
    bench.relay.rule("POST", "/query", edit=lambda answer: old)
    assert board.look()[0].status is Status.READY
    assert board.write(task.id, claim(), PageWrite(result="x")).result == "x"


def test_pain_29_a_page_trashed_while_it_runs(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    board.claim(task, claim(), 1)
    bench.hand("PATCH", f"pages/{task.id}", {"in_trash": True})
    with pytest.raises(NotFound, match=r"trash|archived"):
        board.write(task.id, claim(), PageWrite(result="x"))
    bench.later()
    with pytest.raises(NotFound, match="trash"):
        board.write(task.id, claim(), PageWrite(result="x"))


def test_pain_30_lost_access_is_told_as_such(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, _ = started
    gone = error(404, "object_not_found", "Could not find data_source with ID: x.")
    bench.relay.rule(times=9, status=404, body=gone)
    with pytest.raises(NotFound) as caught:
        board.look()
    assert "shared with the integration" in caught.value.hint


def test_pain_38_a_full_workspace_still_takes_properties(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    body = error(403, "restricted_resource", "Block limit", block_limit="block_creation")
    bench.relay.rule("PATCH", "/children", status=403, body=body)
    with pytest.raises(QuotaError):
        board.section(task.id, f"{task.id}.g1", "text")
    assert board.claim(task, claim(), 1).status is Status.IN_PROGRESS


def rename(bench: Bench) -> None:
    bench.schema(Why={"name": "Reason"}, Status={"name": "State"}, Result={"name": "Outcome"})


def drop(bench: Bench) -> None:
    bench.schema(Why=None, Result=None)


@pytest.mark.parametrize("change", [rename, drop])
def test_pain_31_the_schema_changes_while_it_runs(
    bench: Bench, started: tuple[NotionBoard, Task], change: Callable[[Bench], None]
) -> None:
    board, task = started
    board.claim(task, claim(), 1)
    change(bench)
    after = board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, result="r", why="w"))
    assert after.status is Status.COMPLETED
    assert after.result == ("r" if change is rename else "")
    bench.row(title="next") if change is drop else None
    assert len(board.look()) == (1 if change is drop else 0)


def test_pain_19_a_renamed_option_is_followed_by_its_id(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    """The filter matches nothing without an error then (AT-6): only a new reading of the schema shows it."""
    board, task = started

    def renamed(answer: dict[str, Any]) -> dict[str, Any]:
        for option in answer["properties"]["Status"]["status"]["options"]:
            if option["name"] == "Ready":
                option["name"] = "Bereit"
        return answer

    bench.later(901)
    bench.relay.rule("GET", "/v1/data_sources/", edit=renamed)
    board.look()
    query_call = bench.relay.calls[-1]
    assert query_call.body["filter"]["or"][0]["status"]["equals"] == "Bereit"
    bench.later(901)
    assert [t.id for t in board.look()] == [task.id]


def test_a_status_option_that_is_gone_is_one_clear_error(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, _ = started

    def without(answer: dict[str, Any]) -> dict[str, Any]:
        options = answer["properties"]["Status"]["status"]["options"]
        options[:] = [o for o in options if o["name"] != "In Progress"]
        return answer

    bench.later(901)
    bench.relay.rule("GET", "/v1/data_sources/", edit=without)
    with pytest.raises(ConfigError, match="no option “In Progress”; it has “Draft”"):
        board.look()


def test_a_refusal_that_a_fresh_schema_does_not_cure_names_the_property(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    refusal = error(400, "validation_error", "Result is expected to be number.")
    bench.relay.rule("PATCH", "/v1/pages/", times=9, status=400, body=refusal)
    with pytest.raises(ConfigError, match="“Result”"):
        board.claim(task, claim(), 1)
    assert bench.relay.paths() == [
        "PATCH /v1/pages/*",
        "GET /v1/data_sources/*",
        "GET /v1/pages/*",
        "PATCH /v1/pages/*",
    ]


def test_pain_9_a_rate_limited_board_is_worked_off_without_a_429(bench: Bench) -> None:
    """180 a minute on both sides: a burst fits; with a budget below the limit the service never says no."""
    for i in range(10):
        bench.row(title=f"t{i}")
    board = bench.board(rate_limit=180)
    for task in board.look():
        board.claim(task, claim(), 1)
        board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, claim=claim(lease=0)))
    assert sum(board.calls().values()) == 2 + 1 + 1 + 20
    assert {status for _, status, _ in bench.oncalls} == {"200"}


def test_a_429_with_a_short_wait_is_waited_out(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    bench.relay.rule(
        "PATCH", "/v1/pages/", status=429, headers={"Retry-After": "1"}, body=error(429, "rate_limited")
    )
    begun = time.monotonic()
    assert board.claim(task, claim(), 1).status is Status.IN_PROGRESS
    assert time.monotonic() - begun >= 1.0
