"""``handoffd task``: the board's rows, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from daemon.cli.arguments import KeyValue, StatusName, TaskId, toml_lines
from daemon.cli.frame import Group, Invocation, json_option, log_to_stderr
from daemon.cli.output import emit_json, emit_table, talk
from daemon.core.errors import BlockedError
from daemon.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.core.task import Draft, Priority, Task
    from daemon.service import Session
    from daemon.store import Run


@click.group(cls=Group)
def command() -> None:
    """Add, list, show, retry, cancel tasks. ID: a full id, a dashless id or a page URL."""


@command.command()
@click.argument("title")
@click.option("--handler", default="", help="music-sync, handoff, report, or one that a plugin adds.")
@click.option("--agent", default="", help="Assigned agent, for a handoff.")
@click.option("--priority", default="Medium", help="Critical, High, Medium or Low (P0–P3).")
@click.option("--status", type=StatusName(), default="Ready", show_default=True)
@click.option("--url", default="", help="Input of a music sync.")
@click.option("--description", default="")
@click.option("--criteria", multiple=True, metavar="LINE", help="A success criterion; may be repeated.")
@click.option("--param", "params", type=KeyValue(), multiple=True, help="A parameter; may be repeated.")
@click.option("--after", type=TaskId(), multiple=True, help="A task that must be Completed first.")
@json_option
@click.pass_obj
def add(
    call: Invocation,
    *,
    as_json: bool,
    title: str,
    handler: str,
    agent: str,
    priority: str,
    status: str,
    url: str,
    description: str,
    criteria: tuple[str, ...],
    params: tuple[tuple[str, str], ...],
    after: tuple[str, ...],
) -> None:
    """Create a task and print its id."""
    from daemon.core.status import Status
    from daemon.core.task import Draft

    if not title.strip():
        raise click.BadParameter("a task needs a title", param_hint="TITLE")
    draft = Draft(
        title=title,
        status=Status(status),
        priority=_priority(priority),
        handler=handler,
        agent=agent,
        url=url,
        description=description,
        acceptance=tuple(line for text in criteria for line in text.splitlines() if line.strip()),
        parameters=toml_lines(params),
        after=after,
    )
    task = _create(call, draft)
    if as_json:
        emit_json({"id": task.id, "url": task.page_url})
    else:
        click.echo(task.id)


def _priority(text: str) -> Priority:
    from daemon.core.task import Priority

    found = Priority.parse(text)
    if found is None:
        raise click.BadParameter("expected Critical, High, Medium, Low or P0–P3", param_hint="--priority")
    return found


def _create(call: Invocation, draft: Draft) -> Task:
    from daemon.service import session

    loaded = call.load()
    log_to_stderr(loaded)
    with session(loaded) as parts:
        task = parts.board.create(draft)
        parts.poke()
    return task


@command.command("list")
@click.option("--status", type=StatusName(), default=None, help="Only these.")
@json_option
@click.pass_obj
def list_(call: Invocation, status: str | None, as_json: bool) -> None:
    """Tasks, newest first."""
    from daemon.core.status import Status
    from daemon.service import session
    from daemon.web import shapes

    loaded = call.load()
    log_to_stderr(loaded)
    with session(loaded) as parts:
        tasks = parts.board.list(Status(status) if status else None)
        if as_json:
            runs = _runs_of(parts, tasks)
            said = parts.store.decisions()
            emit_json([shapes.task(t, runs.get(t.id, []), said.get(t.id)) for t in tasks])
            return
    rows = [
        (t.id, t.status_name, t.priority.label, t.handler or "–", one_line(t.title, 60), one_line(t.why, 60))
        for t in tasks
    ]
    emit_table(("ID", "STATUS", "PRIORITY", "HANDLER", "TITLE", "WHY"), rows, empty="no tasks")


def _runs_of(parts: Session, tasks: Sequence[Task]) -> dict[str, list[Run]]:
    """Task id → its attempts, oldest first."""
    wanted = {t.id for t in tasks}
    found: dict[str, list[Run]] = {}
    for run in reversed(parts.store.runs(limit=100_000)):
        if run.task in wanted:
            found.setdefault(run.task, []).append(run)
    return found


@command.command()
@click.argument("task_id", metavar="ID", type=TaskId())
@json_option
@click.pass_obj
def show(call: Invocation, task_id: str, as_json: bool) -> None:
    """One task, read fresh from the board."""
    from daemon.service import session
    from daemon.web import shapes

    loaded = call.load()
    log_to_stderr(loaded)
    with session(loaded) as parts:
        task = parts.board.get(task_id)
        shown = shapes.task(task, parts.store.runs(task=task_id)[::-1], parts.store.decision(task_id))
    if as_json:
        emit_json(shown)
        return
    del shown["decision"]  # `handoffd why` tells it in words
    rows = [(k, ", ".join(v) if isinstance(v, list) else v) for k, v in shown.items() if v]
    emit_table(("FIELD", "VALUE"), rows, empty="")


@command.command()
@click.argument("task_id", metavar="ID", type=TaskId())
@click.pass_obj
def retry(call: Invocation, task_id: str) -> None:
    """Set a task that ended back to Ready: a new attempt."""
    from daemon.core.status import ACTIVE
    from daemon.service import session

    loaded = call.load()
    log_to_stderr(loaded)
    with session(loaded) as parts:
        latest = parts.store.latest_runs([task_id]).get(task_id)
        if latest is not None and latest.state in ACTIVE:
            raise BlockedError(
                f"attempt {latest.run} of this task is {latest.state.value}",
                hint=f"wait for its end, or: handoffd task cancel {task_id}",
            )
        _set(parts, task_id, "Ready")


@command.command()
@click.argument("task_id", metavar="ID", type=TaskId())
@click.pass_obj
def cancel(call: Invocation, task_id: str) -> None:
    """Set a task to Cancelled; a run under way is stopped."""
    from daemon.service import session

    loaded = call.load()
    log_to_stderr(loaded)
    with session(loaded) as parts:
        _set(parts, task_id, "Cancelled")


@command.command("set")
@click.argument("task_id", metavar="ID", type=TaskId())
@click.option("--status", type=StatusName(), required=True)
@click.pass_obj
def set_(call: Invocation, task_id: str, status: str) -> None:
    """Set the status as a person would on the board."""
    from daemon.service import session

    loaded = call.load()
    log_to_stderr(loaded)
    with session(loaded) as parts:
        _set(parts, task_id, status)


def _set(parts: Session, task_id: str, status: str) -> None:
    from daemon.core.status import Status

    task = parts.board.set_status(task_id, Status(status))
    parts.poke()
    talk(f"{task.id} is {task.status_name}")
    if parts.daemon is None and status == "Ready":
        talk("no daemon is running here: `handoffd run` works on it")
