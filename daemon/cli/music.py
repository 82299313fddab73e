"""``handoffd music``: one sync, and the library's housekeeping, without a task on the board."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.frame import Command, Group, Invocation, json_option, log_to_stderr
from daemon.cli.output import emit_json
from daemon.core.errors import ExitCode
from daemon.core.text import visible

if TYPE_CHECKING:
    from daemon.errand import Done, Watch

SOURCES = ("spotify-now", "soundcloud-likes", "spotify-liked", "tracks-db")
TRACK_KEYS = ("track", "source", "files", "cpu_s", "wall_s")


@click.group(cls=Group)
def command() -> None:
    """One music sync without a task; and the library: scan, verify, dedup-plan, dedup-apply."""


@command.command(cls=Command)
@click.option("--url", default="", help="The track's address.")
@click.option("--source", type=click.Choice(SOURCES), default=None, help="Take what this source names.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@json_option
@click.pass_obj
def sync(call: Invocation, url: str, source: str | None, dry_run: bool, as_json: bool) -> int:
    """Bring one track into the library: download, four files, tags, checks."""
    if bool(url) == bool(source):
        raise click.UsageError("give either --url or --source")
    params: dict[str, Any] = {"mode": "url" if url else "single"}
    if source:
        params["source"] = source
    if dry_run:
        params["dry_run"] = True
    return _do(call, url, params, as_json)


@command.command(cls=Command)
@click.argument("track")
@click.argument("url", default="")
@click.option("--forget", is_flag=True, help="Take back all that was rejected for the track.")
@json_option
@click.pass_obj
def reject(call: Invocation, track: str, url: str, forget: bool, as_json: bool) -> int:
    """Never take URL for TRACK (a Spotify address, an address, or a key of the report) again."""
    if bool(url) == forget:
        raise click.UsageError("give either URL or --forget")
    return _do(call, "", {"mode": "reject", "track": track, "url": url, "forget": forget}, as_json)


@command.group(cls=Group)
def library() -> None:
    """The files that are there."""


@library.command(cls=Command)
@json_option
@click.pass_obj
def scan(call: Invocation, as_json: bool) -> int:
    """Read every file's tags into the index."""
    return _do(call, "", {"mode": "scan"}, as_json)


@library.command(cls=Command)
@click.option("--repair", is_flag=True, help="Make what is missing from what is there.")
@json_option
@click.pass_obj
def verify(call: Invocation, repair: bool, as_json: bool) -> int:
    """Check that every track's set is whole and decodes."""
    return _do(call, "", {"mode": "verify", **({"repair": True} if repair else {})}, as_json)


@library.command("dedup-plan", cls=Command)
@json_option
@click.pass_obj
def dedup_plan(call: Invocation, as_json: bool) -> int:
    """Write a plan of proved duplicates for a person to review; changes nothing."""
    return _do(call, "", {"mode": "dedup-plan"}, as_json)


@library.command("dedup-apply", cls=Command)
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--hash", "plan_hash", default="", help="The plan's hash, where its name does not carry it.")
@json_option
@click.pass_obj
def dedup_apply(call: Invocation, plan: Path, plan_hash: str, as_json: bool) -> int:
    """Move the plan's duplicates to the trash, if the library is still the one that was planned for."""
    return _do(call, "", {"mode": "dedup-apply", "plan": str(plan), "plan_hash": plan_hash}, as_json)


def _do(call: Invocation, url: str, params: dict[str, Any], as_json: bool) -> int:
    from daemon import errand, service

    loaded = call.load()
    log_to_stderr(loaded)
    with service.session(loaded) as short, watched() as watch:
        done = errand.run(short, "music-sync", url, params, watch)
    said = _shape(done)
    if as_json:
        emit_json(said)
    else:
        _print(said)
    return ExitCode.OK if said["ok"] else ExitCode.FAILED


@contextlib.contextmanager
def watched() -> Iterator[Watch | None]:
    """What is being done, on one line of a terminal while it lasts; nothing where stderr is none."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("starting") as status:

        def watch(step: str, progress: Mapping[str, Any] | None) -> None:
            status.update(
                escape(" · ".join(part for part in (visible(step), progress_in_words(progress)) if part))
            )

        yield watch


def progress_in_words(progress: Mapping[str, Any] | None) -> str:
    """How far a step is: ``42 % downloading``."""
    if not progress or not progress.get("total"):
        return ""
    share = 100 * float(progress["done"]) / float(progress["total"])
    return f"{share:.0f} % {visible(str(progress.get('note') or ''))}".strip()


def _shape(done: Done) -> dict[str, Any]:
    from daemon.core.backoff import Backoff
    from daemon.core.effects import ending
    from daemon.core.status import RunState

    end = ending(done.outcome, done.judged, attempt=1, backoff=Backoff(attempts=1), rng=lambda: 0.0)
    data = dict(getattr(done.outcome, "data", {}))
    return {
        # A dry run is never Completed: nothing was done. It went well when it ends with what would be done.
        "ok": end.state is RunState.COMPLETED or (end.state is RunState.REVIEW and bool(data.get("dry_run"))),
        "status": end.status.value if end.status else "Cancelled",
        "result": end.result,
        "why": end.why,
        **{key: data.pop(key, None) for key in TRACK_KEYS},
        "gates": [{"name": j.name, "result": j.result.value, "why": j.why} for j in done.judged],
        "data": data,
    }


def _print(shown: dict[str, Any]) -> None:
    said = visible(shown["result"])
    click.echo(said if said.startswith(shown["status"]) else f"{shown['status']}: {said}")
    if shown["why"]:
        click.echo(f"  why: {visible(shown['why'])}")
    for file in shown["files"] or []:
        click.echo(f"  {file['format']}: {visible(file['path'])}  {file['bytes']} bytes")
    for gate in shown["gates"]:
        if gate["result"] == "failed":
            click.echo(f"  {gate['result']}: {gate['name']} {visible(gate['why'])}".rstrip())
