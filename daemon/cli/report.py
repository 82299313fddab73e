"""``handoffd report``: reports again from recorded evidence."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.arguments import RunId
from daemon.cli.frame import Group, Invocation, json_option
from daemon.cli.output import emit_json, emit_table, minute
from daemon.core.errors import NotFound
from daemon.core.text import visible

if TYPE_CHECKING:
    from daemon.reports import ReportRoom
    from daemon.reports.index import Entry
    from daemon.settings import Loaded


@click.group(cls=Group)
def command() -> None:
    """Reports again from recorded evidence."""


@command.command()
@click.argument("run", metavar="RUN", type=RunId())
@click.option("--format", "form", type=click.Choice(["md", "html", "json"]), default="md", show_default=True)
@click.pass_obj
def render(call: Invocation, run: str, form: str) -> None:
    """Print the report of an attempt, rendered anew from its evidence.json."""
    loaded = call.load()
    found = next((e for e in _entries(loaded) if e.run == run), None)
    if found is None:
        raise NotFound(
            f"there is no report of {run} in {loaded.paths.reports}",
            hint="`handoffd report list` shows those that are there; an attempt has one when it has ended",
        )
    text = room(loaded).text(loaded.paths.reports / found.place / "evidence.json", form)
    click.echo(text, nl=False)


@command.command("list")
@json_option
@click.pass_obj
def list_(call: Invocation, as_json: bool) -> None:
    """The reports on disk, newest first."""
    loaded = call.load()
    entries = _entries(loaded)
    if as_json:
        emit_json(
            [
                {
                    "run": e.run,
                    "started": e.started,
                    "seconds": e.seconds,
                    "title": e.title,
                    "kind": e.kind,
                    "handler": e.handler,
                    "status": e.word,
                    "gates": {"passed": e.passed, "required": e.required},
                    "files": e.files,
                    "folder": str(loaded.paths.reports / e.place),
                }
                for e in entries
            ]
        )
        return
    rows = [
        (minute(e.started), e.word, f"{e.passed}/{e.required}", e.handler, e.title, e.run) for e in entries
    ]
    emit_table(("STARTED", "STATUS", "GATES", "HANDLER", "TITLE", "RUN"), rows, empty="no reports yet")


@command.command()
@click.option("--since", default="7d", show_default=True, help="24h, 7d, 2w or an ISO date.")
@click.option("--until", default="", help="The same; default: now.")
@json_option
@click.pass_obj
def digest(call: Invocation, since: str, until: str, as_json: bool) -> None:
    """What ran in a span, from the records alone. A task with the handler `report` makes a report of it."""
    import time
    from datetime import UTC, datetime

    from daemon.engine.past import record
    from daemon.wiring import open_store
    from handlers.report.digest import compute, plain, span_of, summary

    span = span_of(since, until, datetime.fromtimestamp(time.time(), UTC))
    if span.problem:
        raise click.BadParameter(span.problem, param_hint="--since/--until")
    with closing(open_store(call.load())) as store:
        runs = store.runs(since=span.since, until=span.until, limit=10_000)
        found = compute([record(store, run) for run in reversed(runs)], span)
    if as_json:
        emit_json(plain(found))
        return
    click.echo(summary(found))
    rows = [
        (h.handler, len(h.runs), ", ".join(f"{n} {s}" for s, n in h.states.items()), h.files)
        for h in found.handlers
    ]
    emit_table(("HANDLER", "RUNS", "ENDED AS", "FILES"), rows, empty="")
    for failure in found.failures:
        click.echo(f"✗ {visible(failure.title)}: {visible(failure.reason)}  {failure.run}")


def _entries(loaded: Loaded) -> list[Entry]:
    return room(loaded).reports() if loaded.paths.reports.is_dir() else []


def room(loaded: Loaded) -> ReportRoom:
    """The reports room as the settings say, for reading."""
    from daemon.reports import ReportRoom

    templates = loaded.settings.reports.templates
    return ReportRoom(
        loaded.paths.reports,
        user_templates=(loaded.home / Path(templates).expanduser()) if templates else None,
        link_for=lambda _run, folder: str(folder / "report.html"),
    )
