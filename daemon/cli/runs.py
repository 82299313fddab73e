"""``handoffd runs``: attempts, with all that was recorded of them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from daemon.cli.arguments import RunId, TaskId
from daemon.cli.frame import Group, Invocation, json_option
from daemon.cli.output import emit_json, emit_table, minute, second
from daemon.core.errors import NotFound
from daemon.core.text import one_line

GLYPHS = {"passed": "✓", "failed": "✗", "unknown": "?", "not_applicable": "–"}


@click.group(cls=Group)
def command() -> None:
    """Attempts with their steps, gates and evidence."""


@command.command("list")
@click.option("--task", type=TaskId(), default=None, help="Only attempts of this task.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@json_option
@click.pass_obj
def list_(call: Invocation, task: str | None, limit: int, as_json: bool) -> None:
    """Attempts, newest first."""
    from daemon.web import shapes
    from daemon.wiring import open_store

    with closing(open_store(call.load())) as store:
        runs = store.runs(task=task, limit=limit)
    if as_json:
        emit_json([shapes.brief(r) for r in runs])
        return
    rows = [(r.run, r.state.value, r.handler, minute(r.started), one_line(r.title, 50)) for r in runs]
    emit_table(("RUN", "STATE", "HANDLER", "STARTED", "TITLE"), rows, empty="no attempts yet")


@command.command()
@click.argument("run", metavar="RUN", type=RunId())
@json_option
@click.pass_obj
def show(call: Invocation, run: str, as_json: bool) -> None:
    """One attempt: steps, gates, evidence, files."""
    from daemon.web import shapes
    from daemon.wiring import open_store

    with closing(open_store(call.load())) as store:
        found = store.run(run)
        if found is None:
            raise NotFound(f"there is no attempt {run}", hint="`handoffd runs list` shows them")
        shown = shapes.run(found, store.steps(run), store.gates(run), store.evidence(run))
    if as_json:
        emit_json(shown)
        return
    _print(shown)


def _print(shown: dict[str, Any]) -> None:
    from daemon.core.text import visible

    click.echo(f"{shown['run']}  {shown['state']}  {shown['verdict']}".rstrip())
    for key in ("title", "handler", "host", "started", "ended", "summary", "why", "report"):
        value = shown[key]
        if value:
            click.echo(f"  {key}: {second(value) if isinstance(value, float) else visible(str(value))}")
    for step in shown["steps"]:
        again = f", {step['attempts']} attempts" if step["attempts"] > 1 else ""
        took = "" if step["seconds"] is None else f", {step['seconds']:.2f} s"
        click.echo(f"  step {step['name']}: {step['state']}{took}{again}")
    for gate in shown["gates"]:
        why = f" — {visible(gate['why'])}" if gate["why"] else ""
        must = "" if gate["required"] else " (optional)"
        click.echo(f"  {GLYPHS[gate['result']]} {gate['name']}{must}{why}")
    for file in shown["files"]:
        click.echo(f"  file {visible(file['path'])}  {file['bytes']} bytes")
