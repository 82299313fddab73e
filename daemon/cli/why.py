"""``handoffd why``: the recorded decision, never a new one."""

from __future__ import annotations

import click

from daemon.cli.arguments import TaskId
from daemon.cli.frame import Command, Invocation, json_option
from daemon.cli.output import emit_json, second
from daemon.core.text import visible


@click.command(cls=Command)
@click.argument("task_id", metavar="ID", type=TaskId())
@json_option
@click.pass_obj
def command(call: Invocation, task_id: str, as_json: bool) -> None:
    """Why a task is not moving, or what it is doing: as the last tick or its attempt recorded it."""
    from contextlib import closing

    from daemon.cli import shapes
    from daemon.wiring import open_store

    with closing(open_store(call.load())) as store:
        decision = store.decision(task_id)
        run = store.latest_runs([task_id]).get(task_id)
        outage = store.outage()
    shown = shapes.why(task_id, decision, run, outage)
    if as_json:
        emit_json(shown)
        return
    gate = f" ({shown['gate']})" if shown["gate"] else ""
    click.echo(f"{shown['verdict']}{gate}: {visible(shown['reason'])}")
    labels = {"since": "since", "would_change": "changes when", "next_look": "next look", "at": "said"}
    for key, label in labels.items():
        value = shown[key]
        if value:
            text = second(value) if isinstance(value, float) else visible(value)
            click.echo(f"  {label}: {text}")
    if shown["board"] is not None:
        click.echo(
            f"  the board: {visible(shown['board']['error'])} (since {second(shown['board']['since'])})"
        )
