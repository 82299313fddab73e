"""Mode ``single``: the first track of the source chain that is not synced yet, found, judged, and made.

What was detected is what is processed: its identity goes into the files and is read back at the end. A level
without anything is a miss and the next one is asked; a track that can never work is left out of the selection
from then on, and the same run goes on with the next (incident MU-33).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.sdk import (
    Blocked,
    Context,
    Done,
    Draft,
    Failed,
    NeedsReview,
    NotFound,
    Outcome,
    PermanentError,
    Retry,
    StepRetry,
    Task,
    TransientError,
    Unreachable,
)
from handlers.music import flow_url, resolve, sources, standing, tracks, urls
from handlers.music.library import Library, Match
from handlers.music.model import Source, Tool
from handlers.music.settings import Params, Settings
from handlers.music.sheet import Sheet
from handlers.music.sources import Detected, Level

LEVEL_RETRY = StepRetry(attempts=2, first=1.0, ceiling=5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outcome of looking for a detected track on the platforms."""

    choice: resolve.Choice
    failed: dict[str, str]


@dataclass(slots=True)
class Left:
    """Detected tracks that are not made: why they never can be, and those for which a person must choose."""

    ruined: list[str] = field(default_factory=list)
    unsure: list[Detected] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the library knows of a detected track: a set of it, or that it can never work."""

    match: Match | None
    rejected: str


def run(task: Task, url: str, params: Params, ctx: Context, sheet: Sheet) -> Outcome:
    """Ask the levels in order; process the first track that is new.

    ``url``: the address that a person chose for the one track that the task names. A track for which no
    candidate is safe holds back no other: it gets a task of its own, and the next one is taken.
    """
    settings: Settings = ctx.settings
    ready = flow_url.prepare(ctx, sheet)
    sheet.stage = "source.resolved"
    asked: list[Level] = []
    left = Left()
    for name in levels(params, settings):
        level = ask(ctx, name, params, sheet)
        asked.append(level)
        for item in level.items:
            chosen = replace(item, url=url, chosen=True) if url and (params.row or params.spotify) else item
            outcome = _item(ctx, ready.tool, chosen, params, sheet, left)
            if outcome is not None:
                for unsure in left.unsure:
                    ctx.follow_up(f"music:{unsure.key}", draft_for(unsure, params.playlist, task))
                return replace(outcome, data=sheet.data()) if left.unsure else outcome
    if left.unsure:
        return _ask_person(sheet, left.unsure[0])
    if left.ruined:
        reason = "; ".join(left.ruined)
        return Failed(reason=reason, hint="give a URL that works, or reject it", data=sheet.data())
    return _nothing(ctx, asked, sheet)


def draft_for(item: Detected, playlist: str, task: Task) -> Draft:
    """The task of one listed track, with a durable run of its own."""
    folder = playlist or item.playlist
    lines = [f"playlist = {json.dumps(folder)}"] if folder else []
    if item.row:
        lines += ['mode = "single"', f"row = {json.dumps(item.row)}"]
    elif not item.url:
        lines += ['mode = "single"', f"spotify = {json.dumps(item.key.removeprefix('spotify:'))}"]
    return Draft(
        title=f"Sync {item.artist} – {item.title}"[:200],
        handler="music-sync",
        url="" if item.row else item.url,
        priority=task.priority,
        parameters="\n".join(lines),
    )


def levels(params: Params, settings: Settings) -> tuple[str, ...]:
    """The levels that a task asks: the one track or level that it names, else the chain of the settings."""
    if params.spotify:
        return ("spotify-track",)
    if params.row:
        return ("tracks-row",)
    return (params.source,) if params.source else settings.sources


def ask(ctx: Context, name: str, params: Params, sheet: Sheet, limit: int = sources.LEVEL_LIMIT) -> Level:
    """One level, with its line in the report."""
    one = params.row or params.spotify
    try:
        level = ctx.step(
            f"level {name}", sources.ask_level, ctx, name, ctx.settings, one, limit, retry=LEVEL_RETRY
        )
    except TransientError as error:
        level = Level(name=name, items=(), miss=error.one_line(), passing=True)
    text = level.miss or f"{len(level.items)} item(s) {level.note}".strip()
    sheet.find("0.5", f"Level {name}", text, "missing" if level.miss else "ok")
    return level


def _item(
    ctx: Context, tool: Tool, item: Detected, params: Params, sheet: Sheet, left: Left
) -> Outcome | None:
    """One detected track; None = go on with the next."""
    settings: Settings = ctx.settings
    named = f"{item.artist} – {item.title}"
    index = settings.index_file(ctx.home)
    before = ctx.step(f"known {item.key}", known_before, index, item, settings.same_seconds)
    if before.rejected:
        sheet.find("0.5", "Left out", f"{named}: {before.rejected}", "warn")
        return None
    if before.match is not None and before.match.level != "probable":
        found = ctx.step(
            f"standing {item.key}", standing.standing, ctx, tool, before.match.known, settings.formats
        )
        if found.complete and item.row:
            return _row_only(ctx, tool, item, before.match, sheet)
        if found.complete:
            sheet.find("0.5", "Synced already", named)
            return None
    try:
        url = item.url or resolved(ctx, item, sheet)
        if url is None:
            left.unsure.append(item)
            sheet.find("0.5", "No candidate is safe to take", f"{named}: a person has to choose", "warn")
            return None
        ctx.evidence(
            "source.resolved",
            "query",
            f"detected by {item.level}",
            True,
            {"key": item.key, "url": urls.shown(url)},
        )
        sheet.find("0.5", "Detected", f"{named}, by {item.level}")
        return flow_url.obtain(ctx, tool, url, params, sheet, item)
    except (PermanentError, NotFound) as error:
        reason = error.one_line()
        ctx.step(f"leave out {item.key}", leave_out, index, item.key, reason)
        if item.row:
            ctx.step(f"tracks failure {item.row}", tracks.failed, ctx, item.row, reason, retry=LEVEL_RETRY)
        left.ruined.append(f"{named}: {reason}")
        sheet.find("0.5", "Can never work, left out from now on", f"{named}: {reason}", "warn")
        return None


def _row_only(ctx: Context, tool: Tool, item: Detected, match: Match, sheet: Sheet) -> Outcome | None:
    """The library has the row's track whole, and the row does not say so: its files are proved again, for
    the row to be written."""
    sheet.keys = [item.key]
    source = Source(url=item.url, host="", platform="tracks-db", key=item.key)
    sheet.set_source(source)
    return standing.already(ctx, tool, match, match.why, source, sheet)


def resolved(ctx: Context, item: Detected, sheet: Sheet) -> str | None:
    """The address of the recording on a platform; None = a person has to choose.

    Raises PermanentError when no candidate is it.
    """
    found = ctx.step(f"search {item.key}", find, ctx, item, ctx.settings, retry=LEVEL_RETRY)
    lines = [j.line() for j in found.choice.ranked[: resolve.SHOWN]]
    resolved = {"call": found.choice.call, "why": found.choice.why, "candidates": lines}
    sheet.extra.setdefault("resolve", {})[item.key] = resolved
    for platform, why in found.failed.items():
        sheet.find("0.5", f"Search on {platform}", why, "warn")
    if found.choice.chosen is not None:
        sheet.find("0.5", "Resolved", f"{found.choice.chosen.url}: {found.choice.why}")
        return found.choice.chosen.url
    if found.choice.call == "review":
        return None
    raise PermanentError(found.choice.why)


def _ask_person(sheet: Sheet, item: Detected) -> Outcome:
    named, lines = f"{item.artist} – {item.title}", sheet.extra["resolve"][item.key]["candidates"]
    summary = "Put the right address into URL and set Ready. Candidates: " + " | ".join(lines)
    return NeedsReview(reason=f"no candidate for {named} is safe to take", summary=summary, data=sheet.data())


def _nothing(ctx: Context, asked: list[Level], sheet: Sheet) -> Outcome:
    """Every level was a miss, or all it named is there: done when that is what they said."""
    passing = [level for level in asked if level.miss and level.passing]
    if passing:
        named = [level.retry_after for level in passing if level.retry_after is not None]
        reason = "; ".join(f"{level.name}: {level.miss}" for level in passing)
        return Retry(reason=reason, after=min(named) if named else None, data=sheet.data())
    if asked and all(level.miss and not level.note for level in asked):
        reason = "; ".join(f"{level.name}: {level.miss}" for level in asked)
        return Blocked(
            reason=f"no source gave a track: {reason}",
            unblock="set up a source, or give a URL",
            data=sheet.data(),
        )
    skip_the_making(ctx)
    said = {level.name: level.miss or f"{len(level.items)} item(s), none new" for level in asked}
    ctx.evidence("source.resolved", "query", "whole chain", True, said)
    return Done(summary="Nothing to sync: all that the sources name is in the library.", data=sheet.data())


def skip_the_making(ctx: Context) -> None:
    """No track was made, and none was meant to be: only what was looked at is judged."""
    from handlers.music import GATES

    for gate in GATES:
        if gate.name not in ("preflight.tools", "source.resolved"):
            ctx.skip_gate(gate.name)


def find(ctx: Context, item: Detected, settings: Settings) -> Found:
    """Step: search every platform and judge the hits. Raises TransientError when none answered."""
    hits, failed = sources.search(ctx, item.wanted(), settings)
    if not hits and failed:
        raise Unreachable("; ".join(f"{k}: {v}" for k, v in failed.items()))
    with Library.looking(settings.index_file(ctx.home)) as library:
        ruled_out = library.ruled_out(item.key)
    return Found(choice=resolve.choose(item.wanted(), hits, ruled_out), failed=failed)


def known_before(index: Path, item: Detected, window: float) -> Before:
    """Step: what the index says of a detected track."""
    with Library.looking(index) as library:
        rejected = library.rejection(item.key)
        match = library.exact([item.key])
        if match is None and item.duration_s is not None:
            match = library.find(item.as_track(), window)
    return Before(match=match, rejected=rejected)


def leave_out(index: Path, key: str, reason: str) -> None:
    """Step: remember that a track can never work, so that no run picks it again."""
    with Library(index) as library:
        library.reject(key, reason)
