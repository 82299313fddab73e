"""The same pains by the local board's own fault injection (``POST /_board/faults``): what a user can put in
front of a workflow of his own. Numbers: docs/board.md."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.board import NotionBoard, creating
from daemon.board.answers import NetworkBlock, QuotaError
from daemon.board.budget import Budget
from daemon.core import ids
from daemon.core.errors import AuthError, Fenced, NotFound, TransientError
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.core.task import Draft, Task
from tests.board.conftest import Bench, claim

QUERY, PAGE = r"data_sources/.*/query", r"v1/pages/[0-9a-f-]+$"
DONE = PageWrite(status=Status.COMPLETED, result="r", claim=claim(lease=0))


@pytest.fixture
def started(bench: Bench) -> tuple[NotionBoard, Task]:
    bench.row()
    board = bench.board()
    (task,) = board.look()
    bench.relay.forget()
    return board, task


def status_of(bench: Bench, task: Task) -> str:
    name: str = bench.hand("GET", f"pages/{task.id}")["properties"]["Status"]["status"]["name"]
    return name


def test_pain_10_600_seconds_are_waited_out_by_everybody(
    bench: Bench, started: tuple[NotionBoard, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of the test's: with an allowance of 20 minutes the write waits; no call leaves before."""
    _, task = started
    now = [1_000.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    board = bench.board(give_up=1200.0)
    board.open()
    board.transport.budget = Budget(180, monotonic=lambda: now[0], pause=pause)
    monkeypatch.setattr(board.transport, "pause", pause)
    sent: list[float] = []
    bench.relay.forget()
    bench.fault("error", method="PATCH", path=PAGE, status=429, retry_after=600)
    send = board.transport._send

    def timed(*call: Any) -> dict[str, Any]:
        sent.append(now[0])
        return send(*call)

    monkeypatch.setattr(board.transport, "_send", timed)
    assert board.claim(task, claim(), 1).status is Status.IN_PROGRESS
    first, patched = sent[0], [at for at in sent if at > sent[0] + 1]
    assert min(patched) - first >= 600
    assert len(sent) == len(bench.relay.calls)


def test_pain_10_a_storm_ends_when_it_ends(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    bench.fault("error", count=None, status=429, retry_after=600)
    for _ in range(3):
        with pytest.raises(TransientError) as caught:
            board.look()
        assert 590 < (caught.value.retry_after or 0) <= 600
    assert len(bench.relay.calls) == 1
    bench.hand.http.request("DELETE", f"{bench.hand.url}/_board/faults").raise_for_status()
    fresh = bench.board()  # another process: it does not know of the wait, and the service takes calls again
    assert [t.id for t in fresh.look()] == [task.id]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
@pytest.mark.parametrize("html", [False, True], ids=["json", "html"])
def test_pain_12_a_wave_on_queries(
    bench: Bench, started: tuple[NotionBoard, Task], status: int, html: bool
) -> None:
    board, task = started
    bench.fault("error", method="POST", path=QUERY, status=status, count=3, html=html)
    assert [t.id for t in board.look()] == [task.id]
    assert len(bench.relay.calls) == 4


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("html", [False, True], ids=["json", "html"])
def test_pain_12_a_write_is_never_made_twice(
    bench: Bench, started: tuple[NotionBoard, Task], status: int, when: str, html: bool
) -> None:
    """Read back, and written again only when it had not landed."""
    board, task = started
    bench.fault("error", method="PATCH", path=PAGE, status=status, when=when, html=html)
    board.claim(task, claim(), 1)
    bench.fault("error", method="PATCH", path=PAGE, status=status, when=when, html=html)
    assert board.write(task.id, claim(), DONE).status is Status.COMPLETED
    patches = [c for c in bench.relay.calls if c.method == "PATCH"]
    assert len(patches) == (2 if when == "after" else 4)
    assert status_of(bench, task) == "Completed"


def test_pain_12_an_overload_was_not_carried_out(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    bench.fault("error", method="PATCH", path=PAGE, status=529, retry_after=1)
    assert board.claim(task, claim(), 1).status is Status.IN_PROGRESS
    assert bench.relay.paths() == ["PATCH /v1/pages/*", "PATCH /v1/pages/*"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_pain_15_a_connection_that_is_cut(
    bench: Bench, started: tuple[NotionBoard, Task], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creating, "LOOKS", (0.01, 0.02))
    board, task = started
    bench.fault("cut", method="POST", path=QUERY, when=when)
    assert [t.id for t in board.look()] == [task.id]
    bench.fault("cut", method="PATCH", path=PAGE, when=when)
    board.claim(task, claim(), 1)
    bench.fault("cut", method="PATCH", path="children", when=when)
    board.section(task.id, f"{task.id}.g1", "text")
    assert len(bench.hand("GET", f"blocks/{task.id}/children")["results"]) == 1
    bench.fault("cut", method="POST", path="v1/pages$", when=when)
    board.create(Draft(title="x", source_key="k"))
    assert len(board.list()) == 2


def test_pain_16_saved_and_said_so(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    said = {
        "message": "The change was saved, but the response could not be built in time.",
        "additional": {"committed_resource_id": task.id, "retry_guidance": "do not repeat"},
    }
    bench.fault("error", method="PATCH", path="children", status=503, when="after", **said)
    board.section(task.id, f"{task.id}.g1", "text")
    assert len(bench.hand("GET", f"blocks/{task.id}/children")["results"]) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_pain_17_conflicts(bench: Bench, started: tuple[NotionBoard, Task], when: str) -> None:
    board, task = started
    bench.fault("error", method="PATCH", path=PAGE, status=409, when=when, count=2)
    board.claim(task, claim(), 1)
    assert status_of(bench, task) == "In Progress"


def test_pain_11_a_blocked_integration(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, _ = started
    why = {"rate_limit_reason": "public_api_request_blocked"}
    bench.fault("error", count=None, status=429, code="rate_limited", additional=why)
    with pytest.raises(AuthError):
        board.look()
    assert len(bench.relay.calls) == 1


def test_pain_29_a_page_that_moved_for_real(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    """Moved a moment ago, so that the page's last sight still counts: the write is refused for properties
    that are not there, and the reason is found on the page."""
    board, task = started
    board.claim(task, claim(), 1)
    parent = bench.hand("GET", f"databases/{bench.database}")["parent"]
    schema = {"properties": {"Name": {"title": {}}}}
    title = [{"text": {"content": "Elsewhere"}}]
    other = bench.hand("POST", "databases", {"parent": parent, "title": title, "initial_data_source": schema})
    there = {"type": "data_source_id", "data_source_id": other["data_sources"][0]["id"]}
    bench.hand("POST", f"pages/{task.id}/move", {"parent": there})
    with pytest.raises(NotFound, match="not in the tasks database"):
        board.write(task.id, claim(), DONE)
    bench.later()
    with pytest.raises(NotFound, match="not in the tasks database"):
        board.write(task.id, claim(), DONE)
    assert board.look() == []


def test_pain_30_a_permission_that_is_gone(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    bench.fault("error", count=None, status=404, path="data_sources|databases|pages")
    for act in (board.look, lambda: board.claim(task, claim(), 1)):
        with pytest.raises(NotFound) as caught:
            act()
        assert "shared with the integration" in caught.value.hint


@pytest.mark.parametrize("name", ["Status", "Claim", "Result", "Why"])
def test_pain_31_a_property_is_renamed_at_the_very_moment_of_a_write(
    bench: Bench, started: tuple[NotionBoard, Task], name: str
) -> None:
    board, task = started
    how = {"data_source": ids.dashed(bench.source), "property": name, "to": f"{name} (old)"}
    bench.fault("rename_property", method="PATCH", path=PAGE, **how)
    board.claim(task, claim(), 1)
    bench.schema(Description={"name": name})
    board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, result="r", why="w"))
    page = bench.hand("GET", f"pages/{task.id}")["properties"]
    assert page[name]["rich_text"] == []  # the one that has the name now is not ours
    found = board.get(task.id)
    assert (found.status, found.result, found.why) == (Status.COMPLETED, "r", "w")


def test_pain_35_a_stale_snapshot(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    """Queries answer from before our claim: where they differ from what the page itself showed last, the page
    is asked."""
    board, task = started
    bench.fault("stale_query", path=QUERY, count=None)
    board.claim(task, claim(), 1)
    bench.later(1)
    assert [t.status for t in board.look()] == [Status.READY]
    assert board.write(task.id, claim(), DONE).status is Status.COMPLETED
    bench.later(1)
    (again,) = board.look()
    bench.relay.forget()
    with pytest.raises(Fenced):
        board.claim(again, claim(2), 2)
    assert bench.relay.paths() == ["GET /v1/pages/*"]
    assert status_of(bench, task) == "Completed"


def test_pain_36_a_firewalls_page(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, _ = started
    bench.fault("error", count=None, status=403, html=True)
    with pytest.raises(NetworkBlock):
        board.look()


def test_pain_38_no_more_blocks_in_this_plan(bench: Bench, started: tuple[NotionBoard, Task]) -> None:
    board, task = started
    full = {"status": 403, "count": None, "additional": {"block_limit": "block_creation"}}
    bench.fault("error", method="PATCH", path="children", **full)
    bench.fault("error", method="POST", path="v1/pages$", **full)
    with pytest.raises(QuotaError):
        board.section(task.id, f"{task.id}.g1", "text")
    with pytest.raises(QuotaError):
        board.create(Draft(title="x", source_key="k"))
    board.claim(task, claim(), 1)
    assert board.write(task.id, claim(), DONE).status is Status.COMPLETED
