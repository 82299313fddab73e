"""``dry_run``: what a task would do, found out by looking alone. No file, index, task or row is written.

It never ends as Completed: nothing was done. The levels, the search and the library are really asked, so what
it says is what the next run would begin with; what only the download can tell (length, quality, a duplicate
by its sound) it leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from daemon.sdk import BlockedError, Context, NeedsReview, Outcome, PermanentError
from handlers.music import (
    cleanup,
    ffmpeg,
    flow_library,
    flow_many,
    flow_single,
    flow_tracks,
    flow_url,
    preflight,
    scan,
    standing,
    urls,
)
from handlers.music.library import Library, Match
from handlers.music.model import Finding
from handlers.music.settings import Params, Settings
from handlers.music.sheet import Sheet
from handlers.music.sources import Detected

BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The state of the tools and folders, as ``doctor`` sees them."""

    findings: tuple[Finding, ...]


def run(mode: str, url: str, params: Params, ctx: Context, sheet: Sheet) -> Outcome:
    """Look, say what would be done, change nothing."""
    from handlers.music import GATES, LIBRARY_GATES

    settings: Settings = ctx.settings
    for gate in (*GATES, *LIBRARY_GATES):
        ctx.skip_gate(gate.name)
    looked = ctx.step("look", look, settings, ctx.home)
    sheet.found("0", looked.findings)
    broken = [f"{f.title}: {f.text}" for f in looked.findings if f.state == "missing"]
    ctx.evidence("preflight.tools", "check", "tools and folders", not broken, {"broken": broken})
    flow_tracks.prepare(ctx, sheet)
    if mode in flow_library.MODES:
        would = _library(mode, params, ctx, sheet)
    elif mode in ("playlist", "batch"):
        would = _many(url, params, ctx, sheet)
    elif mode == "url":
        would = [_address(url, ctx, sheet, None)]
    else:
        would = _chain(params, ctx, sheet)
    for line in would:
        sheet.find("1", "Would be done", line)
    sheet.extra |= {"dry_run": True, "would": would}
    first = would[0] if len(would) == 1 else f"{would[0]} (and {len(would) - 1} more)"
    return NeedsReview(
        reason="dry run: nothing was changed; take dry_run out of Parameters and set Ready to do it",
        summary=f"Dry run: {first}.",
        data=sheet.data(),
    )


def look(settings: Settings, home: Path) -> Looked:
    """Step: tools and folders. Creates nothing, raises for nothing."""
    states = {BROKEN: "missing"}
    return Looked(
        findings=tuple(
            Finding(title=c.name, state=states.get(c.state, c.state), text=c.message)
            for c in preflight.checks(settings, home)
        )
    )


def _address(url: str, ctx: Context, sheet: Sheet, item: Detected | None) -> str:
    settings: Settings = ctx.settings
    source = ctx.step("source", urls.parse, url, settings.allow_hosts)
    sheet.set_source(source)
    sheet.keys = [source.key, *([item.key] if item else [])]
    known = ctx.step("lookup", flow_url.look_up, settings.index_file(ctx.home), sheet.keys).match
    isrc, length = (item.isrc, item.duration_s) if item else ("", None)
    track = known.known.id if known else urls.track_id(item.key if item else source.key)
    flow_tracks.known(ctx, sheet, isrc, length, track)
    ctx.evidence("source.resolved", "query", source.key, True, {"url": urls.shown(source.url)})
    lacks = _lacks(known, ctx)
    if known is not None and not lacks:
        return f"nothing would be downloaded: {known.known.artist} – {known.known.title} is in the library"
    made = ", ".join(lacks or settings.formats)
    where = settings.output_folder(ctx.home)
    return f"{urls.shown(source.url)} would be downloaded and {made} made below {where}"


def _lacks(known: Match | None, ctx: Context) -> list[str]:
    """Formats of a known track whose file is missing or damaged."""
    if known is None:
        return []
    tool = ctx.step("tool", ffmpeg.find_ffmpeg, ctx.settings.ffmpeg)
    found = ctx.step("standing", standing.standing, ctx, tool, known.known, ctx.settings.formats)
    damaged = (p.partition(":")[0] for p in found.problems)
    return list(dict.fromkeys([*found.missing, *damaged]))


def _chain(params: Params, ctx: Context, sheet: Sheet) -> list[str]:
    settings: Settings = ctx.settings
    for name in flow_single.levels(params, settings):
        for item in flow_single.ask(ctx, name, params, sheet).items:
            named = f"{item.artist} – {item.title}"
            before = _before(ctx, item)
            if before.rejected:
                sheet.find("0.5", "Left out", f"{named}: {before.rejected}", "warn")
            elif before.match is None or before.match.level == "probable" or _lacks(before.match, ctx):
                return [_found(named, item, ctx, sheet)]
            else:
                sheet.find("0.5", "Synced already", named)
    return ["nothing would be done: no level of the chain names a track that is new"]


def _found(named: str, item: Detected, ctx: Context, sheet: Sheet) -> str:
    sheet.find("0.5", "Detected", f"{named}, by {item.level}")
    try:
        url = item.url or flow_single.resolved(ctx, item, sheet)
    except PermanentError as error:
        return f"{named} would be left out from now on: {error.one_line()}"
    if url is None:
        return f"{named} would go to a person: no candidate is safe to take"
    return f"{named}: {_address(url, ctx, sheet, item)}"


def _before(ctx: Context, item: Detected) -> flow_single.Before:
    index, window = ctx.settings.index_file(ctx.home), ctx.settings.same_seconds
    return ctx.step(f"known {item.key}", flow_single.known_before, index, item, window)


def _many(url: str, params: Params, ctx: Context, sheet: Sheet) -> list[str]:
    items = flow_many.items(url, params, ctx, sheet)
    out = []
    for item in items:
        before = _before(ctx, item)
        if not before.rejected and not (before.match and before.match.certain):
            out.append(f"a task would be made for {item.artist} – {item.title}")
    return out or [f"no task would be made: all of {len(items)} tracks are in the library or left out"]


def _library(mode: str, params: Params, ctx: Context, sheet: Sheet) -> list[str]:
    settings: Settings = ctx.settings
    if not ctx.step("there", known_roots, settings, ctx.home):
        return ["nothing would be done: there is no library yet"]
    now = ctx.step("library", cleanup.library_now, settings, ctx.home)
    sheet.extra["library"] = now
    if mode == "scan":
        return [f"the tags of {now['files']} file(s) would be read into the index"]
    if mode == "dedup-apply":
        made = ctx.step("load", cleanup.load, params.plan, params.plan_hash, ctx.home)
        left = ctx.step("check", cleanup.left_of, made, settings, ctx.home)
        return [f"{left} of {made.files} file(s) would be moved into the trash, as the plan says"]
    tool = ctx.step("tool", ffmpeg.find_ffmpeg, settings.ffmpeg)
    if mode == "dedup-plan":
        made = ctx.step("plan", cleanup.plan, ctx, tool, settings, ctx.home)
        out = [f"{g.name}: {g.why}; {len(g.files)} file(s) would be in the plan" for g in made.groups]
        return out or ["no plan would be made: there are no proved duplicates"]
    return _verify(ctx, params, settings, sheet)


def _verify(ctx: Context, params: Params, settings: Settings, sheet: Sheet) -> list[str]:
    tool = ctx.step("verify tool", ffmpeg.find_ffmpeg, settings.ffmpeg)
    ids = ctx.step("tracks", scan.known_tracks, settings.index_file(ctx.home), params.limit)
    out = []
    for track in ids:
        found = ctx.step(f"verify {track}", scan.verify_set, ctx, tool, track, settings, ctx.home, False)
        if found.state != "whole":
            what = "; ".join([*(f"{m} missing" for m in found.missing), *found.problems])
            out.append(f"{found.artist} – {found.title} would be {_VERB[params.repair]}: {what}")
    return out or [f"nothing would be repaired: {len(ids)} track(s) are whole"]


_VERB = {True: "repaired", False: "reported"}


def known_roots(settings: Settings, home: Path) -> bool:
    """Step: whether the library's folders have been used before. Raises BlockedError when they are known and
    not there."""
    with Library.looking(settings.index_file(home)) as library:
        for _, root, _ in preflight.roots(settings, home):
            known = library.root_id(str(root))
            marker = root / preflight.MARKER
            if known and not marker.is_file():
                raise BlockedError(f"{root} is not the library's folder now", hint="mount its volume")
            if not known or marker.read_text(encoding="utf-8").strip()[:64] != known:
                return False
    return True
