"""Modes ``scan``, ``verify``, ``dedup-plan`` and ``dedup-apply``: the library looked after.

Plan, review, apply: ``dedup-plan`` writes down what it would do and ends in Review; ``dedup-apply`` does just
that, when it is given the plan's name, which carries its hash.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from daemon.sdk import Context, Done, NeedsReview, Outcome, PermanentError
from handlers.music import cleanup, preflight, scan
from handlers.music.settings import Params, Settings
from handlers.music.sheet import Sheet

MODES: dict[str, tuple[str, ...]] = {
    "scan": ("preflight.tools", "library.online", "library.scanned"),
    "verify": ("preflight.tools", "library.online", "library.whole"),
    "dedup-plan": ("preflight.tools", "library.online", "dedup.planned"),
    "dedup-apply": ("preflight.tools", "library.online", "dedup.applied"),
}
"""Mode → the gates that it answers."""
SHOWN = 200
"""Tracks or groups that a report lists; the rest is counted."""


def run(mode: str, params: Params, ctx: Context, sheet: Sheet) -> Outcome:
    """Carry out one of the modes."""
    settings: Settings = ctx.settings
    ready = ctx.step("preflight", preflight.look, settings, ctx.home, ctx.workdir)
    sheet.found("0", ready.findings)
    ctx.evidence("preflight.tools", "check", "tools and folders", True, {"ffmpeg": ready.tool.version})
    sheet.stage = "library.online"
    now = ctx.step("library", cleanup.library_now, settings, ctx.home)
    ctx.evidence("library.online", "check", now["root"], True, now)
    sheet.find("0", "Library", f"{now['root']}: {now['files']} file(s), {now['tracks']} track(s) known")
    sheet.extra["library"] = now
    if mode == "scan":
        return _scan(ctx, settings, sheet)
    if mode == "verify":
        return _verify(ctx, ready, params, settings, sheet)
    if mode == "dedup-plan":
        return _plan(ctx, ready, settings, sheet)
    return _apply(ctx, params, settings, sheet)


def _scan(ctx: Context, settings: Settings, sheet: Sheet) -> Outcome:
    sheet.stage = "library.scanned"
    found = ctx.step("scan", scan.scan, ctx, settings, ctx.home)
    data = asdict(found) | {"unreadable": list(found.unreadable[:SHOWN]), "gone": list(found.gone[:SHOWN])}
    ctx.evidence("library.scanned", "query", "tags of every file", not found.unreadable, data)
    sheet.extra["scan"] = data
    for path in found.unreadable[:SHOWN]:
        sheet.find("1", "Not readable", path, "warn")
    text = f"{found.files} files read, {found.tracks} tracks known, {found.foreign} not ours"
    sheet.find("1", "Scan", f"{text}, {len(found.gone)} gone")
    return Done(summary=f"{text}.", data=sheet.data())


def _verify(
    ctx: Context, ready: preflight.Ready, params: Params, settings: Settings, sheet: Sheet
) -> Outcome:
    sheet.stage = "library.whole"
    ids = ctx.step("tracks", scan.known_tracks, settings.index_file(ctx.home), params.limit)
    counts = {"whole": 0, "repaired": 0, "broken": 0}
    listed = []
    for number, track in enumerate(ids):
        ctx.progress(number, len(ids), "verifying")
        name = f"verify {track}"
        found = ctx.step(name, scan.verify_set, ctx, ready.tool, track, settings, ctx.home, params.repair)
        counts[found.state] += 1
        if found.state != "whole":
            what = "; ".join([*(f"{m} missing" for m in found.missing), *found.problems])
            listed.append(asdict(found))
            state = "warn" if found.state == "repaired" else "failed"
            sheet.find("1", found.state.capitalize(), f"{found.artist} – {found.title}: {what}", state)
            ctx.evidence("library.whole", "check", track, found.state == "repaired", asdict(found))
    ctx.evidence("library.whole", "check", "all sets", counts["broken"] == 0, {"tracks": len(ids)} | counts)
    sheet.extra["verify"] = {"tracks": len(ids), **counts, "listed": listed[:SHOWN]}
    text = f"{len(ids)} tracks: {counts['whole']} whole, {counts['repaired']} repaired"
    return Done(summary=f"{text}, {counts['broken']} broken.", data=sheet.data())


def _plan(ctx: Context, ready: preflight.Ready, settings: Settings, sheet: Sheet) -> Outcome:
    sheet.stage = "dedup.planned"
    made = ctx.step("plan", cleanup.plan, ctx, ready.tool, settings, ctx.home)
    path = ctx.step("save", cleanup.save, made, ctx.home)
    digest = made.hash()
    data = {"plan": path.name, "hash": digest, "groups": len(made.groups), "files": made.files}
    ctx.evidence("dedup.planned", "file", path.name, True, data | {"unproved": len(made.unproved)})
    sheet.extra["plan"] = data | {"pairs": [asdict(g) for g in made.groups[:SHOWN]]}
    for group in made.groups[:SHOWN]:
        sheet.find("1", "Duplicate", f"{group.name}: {group.why}; {len(group.files)} file(s)")
    for text in made.unproved[:SHOWN]:
        sheet.find("1", "Looks alike, left alone", text, "warn")
    if not made.groups:
        return Done(summary=f"No proved duplicates; {len(made.unproved)} look alike.", data=sheet.data())
    how = f'Parameters: mode = "dedup-apply", plan = "{path.name}"'
    reason = f"{made.files} files of {len(made.groups)} duplicates could go to the trash"
    return NeedsReview(reason=reason, summary=f"{reason}. To do it: {how}", data=sheet.data())


def _apply(ctx: Context, params: Params, settings: Settings, sheet: Sheet) -> Outcome:
    sheet.stage = "dedup.applied"
    if not params.plan:
        raise PermanentError("dedup-apply needs a plan", hint="give plan in Parameters")
    made = ctx.step("load", cleanup.load, params.plan, params.plan_hash, ctx.home)
    applied = ctx.step("apply", cleanup.apply, made, settings, ctx.home)
    there = ctx.step("read back", moved_files, applied)
    ctx.evidence(
        "dedup.applied",
        "delta",
        made.hash(),
        there == made.files,
        {"planned": made.files, "moved": there},
    )
    sheet.extra["applied"] = {"moved": applied.moved}
    sheet.find("1", "Moved", f"{there} file(s) into the trash; nothing was deleted")
    return Done(summary=f"{there} files moved into the trash, as the plan says.", data=sheet.data())


def moved_files(applied: cleanup.Applied) -> int:
    """Step: how many of the moved files lie in the trash and not where they were."""
    return sum(Path(t).is_file() and not Path(p).exists() for p, t in applied.moved.items())
