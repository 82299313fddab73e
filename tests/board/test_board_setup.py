"""From ids in the settings to a bound schema; set-up that can be repeated; relations, agents, bulk and
budget.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from daemon.board.setup import create_tasks_database
from daemon.core import ids
from daemon.core.errors import AuthError, ConfigError, Fenced, TransientError
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.core.task import Draft
from tests.board.conftest import Bench, claim, text


def parent_of(bench: Bench) -> str:
    return str(bench.hand("GET", f"databases/{bench.database}")["parent"]["page_id"])


def test_setting_up_twice_gives_the_same_database(bench: Bench) -> None:
    parent = parent_of(bench)
    transport = bench.board().transport
    assert create_tasks_database(transport, parent) == (bench.database, bench.source)
    other = create_tasks_database(transport, parent, title="Other", handlers=["report"])
    assert other != (bench.database, bench.source)
    board = bench.board(database_id=other[0])
    assert board.create(Draft(title="x", handler="report")).handler == "report"


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
def test_setting_up_through_a_lost_answer(bench: Bench, after: bool) -> None:
    bench.relay.rule("POST", "/v1/databases", after=after, cut=True)
    transport = bench.board().transport
    if after:
        found = create_tasks_database(transport, parent_of(bench), title="New")
        assert create_tasks_database(transport, parent_of(bench), title="New") == found
        return
    with pytest.raises(Exception, match="no answer"):
        create_tasks_database(transport, parent_of(bench), title="New")
    create_tasks_database(transport, parent_of(bench), title="New")


@pytest.mark.parametrize("version", ["2025-09-03", "2026-03-11"])
def test_AT_18_ids_in_every_form(bench: Bench, version: str) -> None:
    url = f"https://www.notion.so/acme/Agent-Tasks-{bench.database}?v=1"
    for form in (url, ids.dashed(bench.database), bench.database.upper(), bench.source):
        assert bench.board(database_id=form, version=version).open().data_source_id == bench.source


def test_pain_24_ids_that_were_mixed_up(bench: Bench) -> None:
    task = bench.row()
    with pytest.raises(ConfigError, match="is the id of a database"):
        bench.board(database_id="", data_source_id=bench.database).open()
    with pytest.raises(ConfigError, match="is the id of a page"):
        bench.board(database_id=task).open()
    with pytest.raises(ConfigError, match="no page id in"):
        bench.board(database_id="my tasks").open()
    with pytest.raises(ConfigError, match="is empty"):
        bench.board(database_id="").open()
    with pytest.raises(ConfigError, match="no database") as caught:
        bench.board(database_id="12345678-1234-4234-8234-123456789abc").open()
    assert "Connections" in caught.value.hint


def test_pain_25_several_data_sources_and_none_chosen(bench: Bench) -> None:
    body = {
        "parent": {"type": "database_id", "database_id": bench.database},
        "properties": {"Name": {"title": {}}},
        "title": [{"text": {"content": "Second"}}],
    }
    second = bench.hand("POST", "data_sources", body)["id"]
    with pytest.raises(ConfigError, match="2 data sources") as caught:
        bench.board().open()
    assert any(ids.normalise(second) in problem and "Second" in problem for problem in caught.value.problems)
    assert bench.board(data_source_id=bench.source).open().data_source_id == bench.source


def test_a_wrong_token(bench: Bench) -> None:
    board = bench.board()
    board.transport._http.headers["Authorization"] = "Bearer ntn_wrong"
    with pytest.raises(AuthError) as caught:
        board.open()
    assert "notion_token" in caught.value.hint


def test_a_missing_status_option_is_told_with_what_there_is(bench: Bench) -> None:
    properties = {
        "Task Name": {"title": {}},
        "Status": {"status": {"options": [{"name": "Ready"}, {"name": "Done"}]}},
    }
    body = {
        "parent": {"type": "page_id", "page_id": parent_of(bench)},
        "title": [{"text": {"content": "Bare"}}],
        "initial_data_source": {"properties": properties},
    }
    bare = bench.hand("POST", "databases", body)["id"]
    with pytest.raises(ConfigError) as caught:
        bench.board(database_id=bare).open()
    assert len(caught.value.problems) == 6
    assert "no option “In Progress”; it has “Ready”, “Done”" in str(caught.value)


def test_a_board_with_title_and_status_as_select_only(bench: Bench) -> None:
    """Everything optional is missing: tasks still go from Ready to Completed."""
    options = [{"name": s.value} for s in Status]
    body = {
        "parent": {"type": "page_id", "page_id": parent_of(bench)},
        "title": [{"text": {"content": "Small"}}],
        "initial_data_source": {
            "properties": {"Name": {"title": {}}, "Status": {"select": {"options": options}}}
        },
    }
    small = bench.hand("POST", "databases", body)["id"]
    board = bench.board(database_id=small)
    assert len(board.open().missing) == 19
    task = board.create(Draft(title="x"))
    assert [t.id for t in board.look()] == [task.id]
    board.claim(task, claim(), 1)
    ended = board.write(
        task.id, claim(), PageWrite(status=Status.COMPLETED, result="r", claim=claim(lease=0))
    )
    assert ended.status is Status.COMPLETED
    board.note(task.id, why="x")


def test_pain_26_relations_beyond_25_are_read_whole(bench: Bench) -> None:
    before = [bench.row(title=f"p{i}", status="Completed") for i in range(30)]
    relation = {"relation": [{"id": ids.dashed(i)} for i in before]}
    task_id = bench.row(Prerequisite_Tasks=relation)
    board = bench.board()
    (task,) = board.look()
    assert set(task.after) == set(before)
    assert set(board.get(task_id).after) == set(before)
    assert set(board.claim(task, claim(), 1).after) == set(before)


def test_pain_26_a_text_with_more_mentions_than_an_answer_holds_is_read_whole(bench: Bench) -> None:
    """Documented: a page's answer holds 25 mentions of a text and does not say that it left some out."""
    runs = [{"type": "text", "text": {"content": f"word{n} "}} for n in range(60)]
    runs[1::2] = [
        {"type": "mention", "mention": {"page": {"id": ids.dashed(bench.row())}}} for _ in range(30)
    ]
    task_id = bench.row(Description={"rich_text": runs})
    whole = bench.hand("GET", f"pages/{task_id}")["properties"]["Description"]["rich_text"]

    def cut(page: dict[str, Any]) -> dict[str, Any]:
        if task_id == ids.normalise(page["id"]):
            page["properties"]["Description"]["rich_text"] = whole[:50]
        return page

    def cut_all(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "results": [cut(page) for page in answer["results"]]}

    bench.relay.rule("POST", "/query", times=9, edit=cut_all)
    bench.relay.rule("GET", f"/v1/pages/{ids.dashed(task_id)}$", times=9, edit=cut)
    bench.relay.rule("PATCH", f"/v1/pages/{ids.dashed(task_id)}$", times=9, edit=cut)
    board = bench.board()
    task = next(t for t in board.look() if t.id == task_id)
    for seen in (task, board.get(task_id), board.claim(task, claim(), 1)):
        assert seen.description.endswith("word58 A task")
        assert seen.description == "".join(run["plain_text"] for run in whole)


@pytest.mark.parametrize(
    "answer",
    [{"object": "page"}, {"object": "list"}, {"object": "list", "results": [], "has_more": True}],
    ids=["no list", "no results", "no way on"],
)
def test_AT_2_prerequisites_that_can_not_be_read_are_not_none(bench: Bench, answer: dict[str, Any]) -> None:
    before = [bench.row(title=f"p{i}", status="Draft") for i in range(26)]
    bench.row(Prerequisite_Tasks={"relation": [{"id": ids.dashed(i)} for i in before]})
    board = bench.board(give_up=0.2)
    board.open()
    bench.relay.rule("GET", "/properties/", times=99, status=200, body=answer)
    with pytest.raises(TransientError):
        board.look()


def agents_board(bench: Bench) -> tuple[str, str, str]:
    """An Agents database with one agent, and an Assigned-Agent relation to it."""
    body = {
        "parent": {"type": "page_id", "page_id": parent_of(bench)},
        "title": [{"text": {"content": "Agents"}}],
        "initial_data_source": {"properties": {"Name": {"title": {}}}},
    }
    agents = bench.hand("POST", "databases", body)
    source = agents["data_sources"][0]["id"]
    page = {
        "parent": {"type": "data_source_id", "data_source_id": source},
        "properties": {"Name": {"title": [{"text": {"content": "Claude MM1"}}]}},
    }
    agent = bench.hand("POST", "pages", page)["id"]
    bench.schema(
        **{
            "Assigned-Agent": {
                "relation": {"data_source_id": source, "type": "single_property", "single_property": {}}
            }
        }
    )
    return agents["id"], agent, source


def test_agents_in_a_relation_are_named_and_remembered(bench: Bench) -> None:
    bench.schema(**{"Assigned-Agent": None})
    database, agent, _ = agents_board(bench)
    task_id = bench.row(**{"Assigned-Agent": {"relation": [{"id": agent}]}})
    board = bench.board()
    assert board.look()[0].agent == "Claude MM1"
    board.look()
    assert board.calls()["agents"] == 1
    known = bench.board(agents_database_id=database)
    assert known.get(task_id).agents == ("Claude MM1",)
    made = known.create(Draft(title="y", agent="Claude MM1"))
    assert made.agent == "Claude MM1"
    with pytest.raises(ConfigError, match="0 agent pages are called “Nobody”"):
        known.create(Draft(title="y", agent="Nobody"))


def test_an_agent_page_that_cannot_be_read_is_not_taken_for_none(bench: Bench) -> None:
    bench.schema(**{"Assigned-Agent": None})
    _, agent, _ = agents_board(bench)
    bench.row(**{"Assigned-Agent": {"relation": [{"id": agent}]}})
    board = bench.board()
    board.open()
    body = {"object": "error", "status": 404, "code": "object_not_found", "message": "Could not find page"}
    bench.relay.rule("GET", "/v1/pages/", status=404, body=body)
    assert board.look()[0].agents == (f"page {ids.normalise(agent)}",)


def test_1000_ready_tasks_are_read_in_10_calls(bench: Bench) -> None:
    bench.row()
    board = bench.board(rate_limit=180)
    template: dict[str, Any] = {}
    bench.relay.rule("POST", "/query", edit=lambda answer: template.update(answer) or answer)
    board.look()
    bench.relay.forget()
    for number in range(10):
        rows = [{**template["results"][0], "id": f"{number:08x}-0000-8000-8000-{i:012x}"} for i in range(100)]
        last = number == 9
        body = {
            **template,
            "results": rows,
            "has_more": not last,
            "next_cursor": None if last else f"c{number}",
        }
        bench.relay.rule("POST", "/query", status=200, body=body)
    assert len({task.id for task in board.look()}) == 1000
    assert len(bench.relay.calls) == 10
    assert [call.body.get("start_cursor") for call in bench.relay.calls] == [
        None,
        *(f"c{n}" for n in range(9)),
    ]


def test_no_filter_property_is_lost_in_a_query(bench: Bench) -> None:
    """Only bound columns are asked for, by id."""
    bench.schema(Noise={"rich_text": {}})
    bench.row(Noise=text("x"), Why=text("w"))
    board = bench.board()
    board.open()
    (task,) = board.look()
    assert task.why == "w"
    asked = bench.relay.calls[-1].path
    assert asked.count("filter_properties=") == 21


def test_AT_8_who_looked_earlier_finds_every_page_taken(bench: Bench) -> None:
    for i in range(3):
        bench.row(title=str(i))
    first, second = bench.board(), bench.board()
    seen = second.look()
    for task in first.look():
        first.claim(task, claim(1, owner="store1/h", nonce="first123"), 1)
    bench.later()
    for task in seen:
        with pytest.raises(Fenced):
            second.claim(task, claim(1, owner="store2/h", nonce="second12"), 1)
    assert {t.claim.nonce for t in first.look() if t.claim} == {"first123"}


def test_threads_share_one_client(bench: Bench) -> None:
    """Eight threads claim and finish 24 tasks on four connections: two calls each, no answer mixed up."""
    for i in range(24):
        bench.row(title=str(i))
    board = bench.board()
    tasks = board.look()
    failed: list[BaseException] = []

    def work(mine: list[Any]) -> None:
        try:
            for task in mine:
                board.claim(task, claim(), 1)
                done = PageWrite(status=Status.COMPLETED, result=task.title, claim=claim(lease=0))
                assert board.write(task.id, claim(), done).result == task.title
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(tasks[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert {t.title: t.result for t in board.list(Status.COMPLETED)} == {str(i): str(i) for i in range(24)}
    assert (board.calls()["claim"], board.calls()["finish"]) == (24, 24)
