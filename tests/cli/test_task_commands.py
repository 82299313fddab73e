"""Tasks from the command line, on a real local board that lives as long as the command."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.arguments import toml_lines
from daemon.core import ids
from daemon.core.errors import ExitCode
from daemon.core.status import RunState
from daemon.service import session
from daemon.settings import load
from daemon.store import Run, Store
from daemon.wiring import open_store

Cli = Callable[..., Any]

SHAPE = {
    "id",
    "title",
    "status",
    "handler",
    "agent",
    "priority",
    "why",
    "result",
    "report",
    "attempts",
    "url",
    "runs",
}  # fmt: skip - contract.md §1, in its order


def test_a_task_is_added_shown_listed_and_changed(cli: Cli) -> None:
    made = cli(
        "task",
        "add",
        "Sync “this”\u202e",
        "--handler",
        "music-sync",
        "--agent",
        "cursor",
        "--priority",
        "p1",
        "--url",
        "https://example.org/a.wav",
        "--description",
        "why",
        "--criteria",
        "one",
        "--criteria",
        "two",
        "--param",
        "mode=single",
        "--param",
        "count=3",
        "--json",
    ).json  # fmt: skip - one command line
    assert set(made) == {"id", "url"}
    assert ids.normalise(made["url"]) == made["id"]
    shown = cli("task", "show", made["id"], "--json").json
    assert set(shown) >= SHAPE
    assert shown["status"] == "Ready"
    assert shown["priority"] == "High"
    assert shown["handler"] == "music-sync"
    assert shown["agent"] == "cursor"
    assert shown["runs"] == []
    assert cli("task", "list", "--status", "ready", "--json").json == [shown]
    assert cli("task", "list", "--status", "Completed", "--json").json == []
    assert cli("task", "set", made["url"], "--status", "in_progress").code == 0
    assert cli("task", "show", ids.dashed(made["id"]), "--json").json["status"] == "In Progress"
    assert cli("task", "cancel", made["id"]).code == 0
    assert cli("task", "show", made["id"], "--json").json["status"] == "Cancelled"
    again = cli("task", "retry", made["id"])
    assert (again.code, "is Ready" in again.err, "handoffd run" in again.err) == (0, True, True)


def test_stdout_is_data_and_stderr_is_talk(cli: Cli) -> None:
    done = cli("task", "add", "x")
    assert ids.normalise(done.out) == done.out.strip()
    assert done.err == ""
    empty = cli("runs", "list")
    assert (empty.out, empty.err) == ("", "no attempts yet\n")


def test_a_table_shows_a_title_that_tries_to_be_markup_or_an_escape(cli: Cli) -> None:
    cli("task", "add", "[red]x[/red] \x1b[31m \u202eevil")
    listed = cli("task", "list").out
    assert "[red]x[/red]" in listed
    assert "\x1b" not in listed
    assert "\u202e" not in listed
    assert "\\u202e" in listed


def test_a_prerequisite_is_a_relation(cli: Cli, home: Path) -> None:
    first = cli("task", "add", "first", "--json").json["id"]
    second = cli("task", "add", "second", "--after", first, "--json").json["id"]
    with session(load(home=home, env={})) as parts:
        assert parts.board.get(second).after == (first,)


def test_a_task_that_is_not_there_is_1_with_a_hint(cli: Cli) -> None:
    done = cli("task", "show", "f" * 32)
    assert done.code == ExitCode.FAILED
    assert done.err.startswith("error: ")


def test_why_says_that_nothing_was_recorded_rather_than_guessing(cli: Cli) -> None:
    task = cli("task", "add", "x", "--json").json["id"]
    said = cli("why", task, "--json").json
    assert (said["verdict"], said["gate"], said["since"]) == ("unseen", "", None)
    assert "unseen" in cli("why", task).out


def test_retry_does_not_start_a_second_attempt_beside_the_first(cli: Cli, home: Path) -> None:
    task = cli("task", "add", "x", "--json").json["id"]
    with_run(home, task, RunState.RUNNING)
    done = cli("task", "retry", task)
    assert done.code == ExitCode.FAILED
    assert f"{task}.g1" in done.err
    assert f"task cancel {task}" in done.err


def test_runs_and_events_are_shown_as_recorded(cli: Cli, home: Path) -> None:
    task = cli("task", "add", "x", "--json").json["id"]
    store = with_run(home, task, RunState.FAILED)
    store.step_began(f"{task}.g1", "fetch")
    store.step_ended(f"{task}.g1", "fetch", "404 Not Found")
    store.event("task.finished", task=task, run=f"{task}.g1", outcome="failed")
    store.event("daemon.started")
    store.close()
    (line,) = cli("runs", "list", "--json").json
    assert (line["run"], line["state"], line["started"]) == (
        f"{task}.g1",
        "failed",
        1_000_000_000.0,
    )
    shown = cli("runs", "show", line["run"], "--json").json
    assert set(shown) >= {
        "run",
        "task",
        "handler",
        "generation",
        "host",
        "state",
        "started",
        "ended",
        "steps",
        "gates",
        "files",
    }  # fmt: skip - contract.md §1, in its order
    (step,) = shown["steps"]
    assert (step["name"], step["state"], step["attempts"], step["error"]) == (
        "fetch",
        "failed",
        1,
        "404 Not Found",
    )
    assert "step fetch: failed" in cli("runs", "show", line["run"]).out
    events = cli("events", "--json").json
    assert [e["name"] for e in events] == ["task.finished", "daemon.started"]
    assert [e["name"] for e in cli("events", "--task", task, "--json").json] == ["task.finished"]
    assert cli("why", task, "--json").json["verdict"] == "failed"
    assert cli("runs", "show", f"{'0' * 32}.g1").code == ExitCode.FAILED


def with_run(home: Path, task: str, state: RunState) -> Store:
    store = open_store(load(home=home, env={}))
    ended = None if state is RunState.RUNNING else 1_000_000_060.0
    store.begin_run(
        Run(
            run=f"{task}.g1",
            task=task,
            generation=1,
            attempt=1,
            handler="report",
            host="here",
            state=state,
            claim="s/here 1 abcd 0",
            title="x",
            page={},
            started=1_000_000_000.0,
            ended=ended,
        )
    )
    return store


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3),
        ("true", True),
        ("plain text", "plain text"),
        ('"quoted"', "quoted"),
        ("[1, 2]", [1, 2]),
        ('a" = "b', 'a" = "b'),
        ("1\nevil = 2", "1\nevil = 2"),
        ("", ""),
    ],
)
def test_a_parameter_is_toml_or_else_text_and_never_two_keys(value: str, expected: Any) -> None:
    assert tomllib.loads(toml_lines((("key", value),))) == {"key": expected}
    assert tomllib.loads(toml_lines((("a.key", value),))) == {"a": {"key": expected}}


def test_a_dotted_parameter_binds_a_criterion_to_a_check(cli: Cli, home: Path) -> None:
    made = cli(
        "task", "add", "x", "--param", "check.AC1=file:notes.md", "--param", "check.AC2=tests", "--json"
    ).json
    with session(load(home=home, env={})) as parts:
        parameters = tomllib.loads(parts.board.get(made["id"]).parameters)
    assert parameters == {"check": {"AC1": "file:notes.md", "AC2": "tests"}}
    assert cli("task", "add", "x", "--param", "check..AC1=tests").code == ExitCode.USAGE
