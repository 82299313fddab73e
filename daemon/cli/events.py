"""``handoffd events``: the append-only log of what happened."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from daemon.cli.arguments import TaskId
from daemon.cli.frame import Command, Invocation, json_option
from daemon.cli.output import emit_json, emit_line, second

if TYPE_CHECKING:
    from daemon.store import Event

FOLLOW_S = 0.5
"""How often a follower asks the store."""


@click.command(cls=Command)
@click.option("--task", type=TaskId(), default=None, help="Only events of this task.")
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C; with --json one document a line.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@json_option
@click.pass_obj
def command(call: Invocation, task: str | None, follow: bool, limit: int, as_json: bool) -> None:
    """What happened, oldest first."""
    import time

    from daemon.web import shapes
    from daemon.wiring import open_store

    def tell(events: list[Event]) -> None:
        for event in events:
            if as_json:
                emit_line(shapes.event(event))
            else:
                click.echo(_line(event))

    with closing(open_store(call.load())) as store:
        found = store.events(task=task, limit=100_000)[-limit:] if task else store.last_events(limit)
        if not follow:
            if as_json:
                emit_json([shapes.event(e) for e in found])
            else:
                tell(found)
            return
        tell(found)
        last = found[-1].id if found else 0
        while True:
            time.sleep(FOLLOW_S)
            found = store.events(after=last, task=task)
            tell(found)
            last = found[-1].id if found else last


def _line(event: Event) -> str:
    from daemon.core.text import one_line

    data = " ".join(f"{k}={v}" for k, v in event.data.items())
    return f"{second(event.at)}  {event.name:<24} {event.run or event.task}  {one_line(data, 200)}".rstrip()
