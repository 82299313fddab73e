"""Pains that people report of the API (numbers: research notes, §5), each made on a real local board. Those
that belong to one area are beside it; ``grep -rn test_pain_ tests/board`` lists all.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from daemon.board import NotionBoard
from daemon.core import ids
from daemon.core.errors import AuthError, Fenced, NotFound, TransientError
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.core.task import Task
from tests.board.conftest import Bench, claim, text
from tests.board.relay import Relay, error


@pytest.fixture
def started(bench: Bench) -> tuple[NotionBoard, Task]:
    bench.row()
    board = bench.board()
    (task,) = board.look()
    bench.relay.forget()
    return board, task


def asked(bench: Bench) -> list[dict[str, Any]]:
    return [call.body for call in bench.relay.calls if call.path.split("?")[0].endswith("/query")]


def everything_named(value: Any) -> set[str]:
    """All keys and string values in a JSON document."""
    if isinstance(value, dict):
        return set(value) | {name for inner in value.values() for name in everything_named(inner)}
    if isinstance(value, list):
        return {name for inner in value for name in everything_named(inner)}
    return {value} if isinstance(value, str) else set()


def test_pain_01_a_second_edit_within_the_minute_is_seen(bench: Bench) -> None:
    """last_edited_time does not move: the state does, and the state is what is asked for."""
    task_id = bench.row(status="Draft")
    board = bench.board()
    assert board.look() == []
    before = bench.hand("GET", f"pages/{task_id}")["last_edited_time"]
    bench.hand.edit(task_id, Status="Ready")
    after = bench.hand("GET", f"pages/{task_id}")["last_edited_time"]
    assert before[17:] == after[17:] == "00.000Z"
    assert [t.id for t in board.look()] == [task_id]
    bench.hand.edit(task_id, Status="Draft")
    assert board.look() == []


def test_pain_02_no_look_filters_by_time(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, _ = started
    for _ in range(3):
        board.look()
        bench.later(59)
    assert len(asked(bench)) == 3
    for body in asked(bench):
        assert not everything_named(body["filter"]) & {"last_edited_time", "created_time", "timestamp"}


def test_pain_03_the_same_row_at_every_look_is_claimed_once(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    first = board.claim(task, claim(), 1)
    bench.relay.forget()
    for stale in (task, task, first):
        assert board.claim(stale, claim(), 1).claim == claim()
        with pytest.raises(Fenced):
            board.claim(stale, claim(nonce="other123"), 1)
    assert "PATCH /v1/pages/*" not in bench.relay.paths()


def test_pain_04_items_that_share_a_minute_are_all_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.board.query.PAGE_SIZE", 3)
    made = [bench.row(title=str(i)) for i in range(8)]
    times = {bench.hand("GET", f"pages/{task_id}")["created_time"] for task_id in made}
    assert len(times) <= 2
    board = bench.board()
    assert [t.title for t in board.look()] == [str(i) for i in range(8)]
    late = bench.row(title="late")
    assert late in {t.id for t in board.look()}


def test_pain_05_every_row_that_became_ready_is_seen_at_the_next_look(bench: Bench) -> None:
    board = bench.board()
    made: set[str] = set()
    for number in range(6):
        made.add(bench.row(title=str(number)))
        assert {t.id for t in board.look()} == made
        bench.later(30)


def test_pain_06_a_comment_is_not_taken_for_an_edit_nor_missed(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    """Nothing is inferred from last_edited_time: a comment leaves it, and the task reads the same."""
    board, task = started
    before = bench.hand("GET", f"pages/{task.id}")["last_edited_time"]
    board.comment(task.id, "k", "hello")
    assert bench.hand("GET", f"pages/{task.id}")["last_edited_time"] == before
    bench.later()
    assert board.get(task.id).status is Status.READY
    board.claim(task, claim(), 1)


def test_pain_07_a_lease_keeps_its_milliseconds(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    lease = 1_790_000_123_457
    board.claim(task, claim(lease=lease), 1)
    bench.later()
    read = board.get(task.id).claim
    assert read is not None
    assert read.lease_until_ms == lease


def test_pain_08_every_query_is_sorted_oldest_first(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, _ = started
    board.look()
    (body,) = asked(bench)
    assert body["sorts"][0] == {"timestamp": "created_time", "direction": "ascending"}
    assert body["sorts"][1]["direction"] == "ascending"


def test_pain_11_a_blocked_integration_stops_the_look_and_is_not_asked_again(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    body = error(429, "rate_limited", rate_limit_reason="public_api_request_blocked")
    bench.relay.rule(times=9, status=429, headers={"Retry-After": "1"}, body=body)
    for act in (board.look, lambda: board.claim(task, claim(), 1)):
        bench.relay.forget()
        with pytest.raises(AuthError) as caught:
            act()
        assert "blocked" in caught.value.hint
        assert len(bench.relay.calls) == 1


@pytest.mark.parametrize("message", ["Request timed out waiting to connect to a database", "try later"])
def test_pain_14_a_503_is_asked_again(bench: Bench, started: tuple[NotionBoard, Task], message: str) -> None:
    board, task = started
    body = error(503, "database_connection_unavailable", message)
    bench.relay.rule("POST", "/query", times=2, status=503, body=body)
    assert [t.id for t in board.look()] == [task.id]
    assert len(asked(bench)) == 3


@pytest.mark.parametrize("status", [502, 504, 529])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_pain_12_a_wave_of_5xx_on_a_write(
    bench: Bench, started: tuple[NotionBoard, Task], status: int, after: bool
) -> None:
    board, task = started
    bench.relay.rule("PATCH", "/v1/pages/", status=status, body="<html>cloudflare</html>", after=after)
    board.claim(task, claim(), 1)
    page = bench.hand("GET", f"pages/{task.id}")["properties"]
    assert page["Status"]["status"]["name"] == "In Progress"
    assert page["Attempts"]["number"] == 1


def test_pain_17_a_conflict_is_read_again_and_the_persons_edit_stays(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    """A person edits at the very moment of our write: the service says 409."""
    board, task = started
    board.claim(task, claim(), 1)
    bench.relay.forget()
    bench.relay.rule(
        "PATCH",
        "/v1/pages/",
        status=409,
        body=error(409, "conflict_error"),
        then=lambda: bench.hand.edit(task.id, Status="Cancelled", Description=text("not any more")),
    )
    after = board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, result="r"))
    assert after.status is Status.CANCELLED
    assert after.result == "r"
    assert after.description == "not any more"
    assert bench.relay.paths() == ["PATCH /v1/pages/*", "GET /v1/pages/*", "PATCH /v1/pages/*"]


def test_pain_18_of_two_that_claim_one_row_the_later_look_is_fenced(bench: Bench) -> None:
    bench.row()
    one, two = bench.board(), bench.board()
    (seen_by_one,), (seen_by_two,) = one.look(), two.look()
    one.claim(seen_by_one, claim(owner="store1/a", nonce="aaaaaaaa"), 1)
    bench.later()
    with pytest.raises(Fenced):
        two.claim(seen_by_two, claim(owner="store2/b", nonce="bbbbbbbb"), 1)
    with pytest.raises(Fenced):
        two.write(seen_by_two.id, claim(owner="store2/b", nonce="bbbbbbbb"), PageWrite(result="x"))


@pytest.mark.parametrize("kind", ["status", "select"])
def test_pain_20_the_filter_follows_the_type_of_status(bench: Bench, kind: str) -> None:
    options = {"options": [{"name": s.value} for s in Status]}
    body = {
        "parent": bench.hand("GET", f"databases/{bench.database}")["parent"],
        "title": [{"text": {"content": kind}}],
        "initial_data_source": {"properties": {"Name": {"title": {}}, "Status": {kind: options}}},
    }
    board = bench.board(database_id=bench.hand("POST", "databases", body)["id"])
    board.open()
    board.set_status(bench_row(bench, board), Status.READY)
    bench.relay.forget()
    assert len(board.look()) == 1
    assert all(kind in part for part in asked(bench)[0]["filter"]["or"])


def bench_row(bench: Bench, board: NotionBoard) -> str:
    source = board.open().data_source_id
    page = {"parent": {"type": "data_source_id", "data_source_id": ids.dashed(source)}, "properties": {}}
    return ids.normalise(bench.hand("POST", "pages", page)["id"])


@pytest.mark.parametrize("version", ["2025-09-03", "2026-03-11"])
def test_pain_21_the_version_is_sent_with_every_call(bench: Bench, version: str) -> None:
    bench.row()
    board = bench.board(version=version)
    (task,) = board.look()
    board.claim(task, claim(), 1)
    board.section(task.id, f"{task.id}.g1", "text")
    board.comment(task.id, "k", "x")
    assert len(bench.relay.calls) > 5
    versions = {{k.lower(): v for k, v in c.headers.items()}["notion-version"] for c in bench.relay.calls}
    assert versions == {version}


def test_pain_34_search_is_never_part_of_the_work(bench: Bench) -> None:
    """Its index lags by minutes."""
    bench.row()
    board = bench.board()
    (task,) = board.look()
    board.claim(task, claim(), 1)
    board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, claim=claim(lease=0)))
    board.list()
    assert not [path for path in bench.relay.paths() if "search" in path]


def test_pain_39_page_addresses_of_every_age(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    dashed = ids.dashed(task.id)
    for form in (
        dashed,
        task.id.upper(),
        f"https://www.notion.so/acme/A-task-{task.id}",
        f"https://app.notion.com/p/{task.id}?pvs=4",
        f"https://www.notion.so/acme/Board-{'0' * 32}?p={task.id}&pm=s",
    ):
        assert board.get(form).id == task.id


def test_pain_44_the_owner_is_text_and_nobody_gets_an_e_mail(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    board.claim(task, claim(owner="store1/host9"), 1)
    sent = bench.relay.calls[-1].body["properties"]
    assert "people" not in everything_named(sent)
    assert "store1/host9" in json.dumps(sent, ensure_ascii=False)


def test_pain_45_only_what_changes_is_sent_and_nothing_read_only(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    board.claim(task, claim(), 1)
    board.write(task.id, claim(), PageWrite(result="r"))
    first, second = (c.body["properties"] for c in bench.relay.calls if c.method == "PATCH")
    assert len(first) == 4  # status, claim, attempts, and an empty Why
    assert len(second) == 1
    columns = bench.hand("GET", f"data_sources/{bench.source}")["properties"]
    writable = {c["id"] for c in columns.values() if c["type"] not in ("unique_id", "formula", "rollup")}
    assert set(first) | set(second) <= writable


def test_pain_29_a_page_that_was_moved_to_another_database_is_not_ours_any_more(
    bench: Bench, started: tuple[NotionBoard, Task]
) -> None:
    board, task = started
    board.claim(task, claim(), 1)
    bench.later()

    def elsewhere(page: dict[str, Any]) -> dict[str, Any]:
        return {**page, "parent": {"type": "data_source_id", "data_source_id": ids.dashed("e" * 32)}}

    bench.relay.rule("GET", "/v1/pages/", edit=elsewhere)
    bench.relay.forget()
    with pytest.raises(NotFound, match="not in the tasks database"):
        board.write(task.id, claim(), PageWrite(result="x"))
    assert "PATCH /v1/pages/*" not in bench.relay.paths()


def test_pain_10_a_storm_of_429_closes_the_door_once_for_every_thread(bench: Bench, started: Any) -> None:
    """600 s are told to each caller at once; not one more call leaves, and a stop is not held up."""
    board, task = started
    bench.relay.rule(times=99, status=429, headers={"Retry-After": "600"}, body=error(429, "rate_limited"))
    begun = time.monotonic()
    for act in (board.look, board.look, lambda: board.claim(task, claim(), 1), lambda: board.get(task.id)):
        with pytest.raises(TransientError) as caught:
            act()
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 590
    assert time.monotonic() - begun < 30
    assert len(bench.relay.calls) == 1


def test_a_proxy_from_the_settings_is_used_for_the_board(bench: Bench) -> None:
    bench.row()
    proxy = Relay()
    try:
        proxy.rule(times=9, status=407, body="<html>who are you?</html>")
        with pytest.raises(Exception, match="407"):
            bench.board(proxy=proxy.url).look()
        assert proxy.calls[0].path.startswith(bench.relay.url)
        assert bench.relay.calls == []
    finally:
        proxy.close()
