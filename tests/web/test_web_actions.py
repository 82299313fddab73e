"""What a person does from a page, as a browser without JavaScript sends it."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx

from daemon.core.errors import PermanentError, TransientError
from daemon.core.status import Status
from daemon.core.task import Priority
from daemon.web import WebServer


def of_title(world, title: str):
    return next(t for t in world.board.pages.values() if title in t.title)


def form(http: httpx.Client, path: str = "/tasks?add=1") -> dict[str, str]:
    """The hidden fields of the page's add form."""
    text = http.get(path).text
    return {n: re.search(rf'name="{n}" value="([^"]*)"', text).group(1) for n in ("csrf", "back", "key")}


def test_a_task_added_from_the_form_is_on_the_board_and_looked_at(world, http: httpx.Client) -> None:
    sent = form(http) | {
        "title": "  Sync\t“Roads”  ",
        "handler": "music-sync",
        "priority": "High",
        "agent": "",
        "url": "https://soundcloud.com/portishead/roads",
        "description": "two\r\nlines",
        "criteria": "one\r\n\r\ntwo",
        "parameters": 'formats = ["wav"]',
    }
    answer = http.post("/tasks/add", data=sent)
    assert answer.status_code == 303
    made = of_title(world, "Roads")
    assert answer.headers["location"] == f"/tasks/{made.id}"
    assert (made.title, made.status, made.priority) == ("Sync “Roads”", Status.READY, Priority.HIGH)
    assert (made.description, made.acceptance) == ("two\nlines", ("one", "two"))
    assert made.source_key.startswith("dashboard:")
    assert world.refreshed
    assert "Sync “Roads”" in http.get("/tasks").text, "seen at once, before the next tick"
    assert http.get(answer.headers["location"]).status_code == 200
    assert world.store.events(task=made.id)[0].name == "task.added"


def test_pressing_twice_adds_once(world, http: httpx.Client) -> None:
    sent = form(http) | {"title": "Once"}
    first, second = http.post("/tasks/add", data=sent), http.post("/tasks/add", data=sent)
    assert first.headers["location"] == second.headers["location"]
    assert sum(t.title == "Once" for t in world.board.pages.values()) == 1


def test_a_draft_stays_a_draft(world, http: httpx.Client) -> None:
    http.post("/tasks/add", data=form(http) | {"title": "Later", "draft": "1"})
    assert of_title(world, "Later").status is Status.DRAFT


def test_a_form_that_is_not_right_says_so_and_keeps_what_was_typed(world, http: httpx.Client) -> None:
    before = len(world.board.pages)
    for bad in (
        {"title": ""},
        {"title": " "},
        {"title": "x" * 301},
        {"title": "A", "url": "javascript:alert(1)"},
        {"title": "A", "priority": "Now"},
        {"title": "A", "description": "x" * 20_001},
    ):
        answer = http.post("/tasks/add", data=form(http) | {"agent": "Kept <b>text</b>"} | bad)
        assert answer.status_code == 422, bad
        assert 'role="alert"' in answer.text
        assert 'value="Kept &lt;b&gt;text&lt;/b&gt;"' in answer.text
    assert len(world.board.pages) == before


def test_a_board_that_refuses_keeps_the_form(world, http: httpx.Client) -> None:
    def full(purpose: str) -> None:
        if purpose == "create":
            raise PermanentError("validation_error: no such option", hint="see doctor")

    world.board.fail = full
    answer = http.post("/tasks/add", data=form(http) | {"title": "Kept"})
    assert answer.status_code == 422
    assert "no such option" in answer.text
    assert 'value="Kept"' in answer.text


def test_retry_cancel_and_accept(world, http: httpx.Client, csrf: str) -> None:
    for title, to, status in (
        ("Unfinished", "ready", Status.READY),
        ("Publish", "cancelled", Status.CANCELLED),
        ("December", "completed", Status.COMPLETED),
    ):
        task = of_title(world, title)
        answer = http.post(
            f"/tasks/{task.id}/status", data={"csrf": csrf, "to": to, "back": f"/tasks/{task.id}"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, f"/tasks/{task.id}")
        assert of_title(world, title).status is status
        assert f"{status.value.lower()}</span>" in http.get(f"/tasks/{task.id}").text
        assert world.store.events(task=task.id)[-1].data == {"status": status.value, "by": "dashboard"}
    assert len(world.refreshed) == 3


def test_only_named_statuses_can_be_set(world, http: httpx.Client, csrf: str) -> None:
    task = of_title(world, "Publish")
    for to in ("", "In Progress", "archived", "READY", "<script>"):
        assert http.post(f"/tasks/{task.id}/status", data={"csrf": csrf, "to": to}).status_code == 422
    assert http.post(f"/tasks/{'d' * 32}/status", data={"csrf": csrf, "to": "ready"}).status_code == 404
    assert not world.refreshed


def test_a_board_that_does_not_answer_is_said(world, http: httpx.Client, csrf: str) -> None:
    def silent(purpose: str) -> None:
        raise TransientError("connection refused")

    world.board.fail = silent
    answer = http.post(f"/tasks/{of_title(world, 'Publish').id}/status", data={"csrf": csrf, "to": "ready"})
    assert answer.status_code == 503
    assert "connection refused" in answer.text


def test_a_form_sends_nobody_elsewhere(http: httpx.Client, csrf: str) -> None:
    for back in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "evil",
        "http:/evil",
        "/a\nb",
        "///evil",
    ):
        answer = http.post("/refresh", data={"csrf": csrf, "back": back})
        assert answer.headers["location"] == "/", back
    assert http.post("/refresh", data={"csrf": csrf, "back": "/runs"}).headers["location"] == "/runs"


def test_without_a_board_there_is_nothing_to_press(world, serve: Callable[..., WebServer]) -> None:
    with httpx.Client(base_url=serve(world.parts(board=None)).url, verify=False) as client:
        for path in ("/", "/tasks", f"/tasks/{of_title(world, 'Publish').id}"):
            page = client.get(path)
            assert page.status_code == 200
            assert "/status" not in page.text
            assert "/tasks/add" not in page.text


def test_the_next_look_replaces_what_a_person_changed(world, http: httpx.Client, csrf: str) -> None:
    """A change made here shows until the board has been read again; then the board counts."""
    from dataclasses import replace

    task = of_title(world, "Publish")
    http.post(f"/tasks/{task.id}/status", data={"csrf": csrf, "to": "cancelled"})
    assert http.get(f"/api/v1/tasks/{task.id}").json()["status"] == "Cancelled"
    world.clock.now += 70
    world.snapshot = replace(world.snapshot, at=world.clock.now, looked_at=world.clock.now)
    for _ in range(100):
        if http.get(f"/api/v1/tasks/{task.id}").json()["status"] == "Ready":
            break
    assert http.get(f"/api/v1/tasks/{task.id}").json()["status"] == "Ready", "the last look said so"
