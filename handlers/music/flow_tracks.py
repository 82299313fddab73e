"""After the files are in the library: the track's row in the Tracks database, when the settings name one."""

from __future__ import annotations

from typing import Any

from daemon.sdk import Context, Done, Outcome, StepRetry
from handlers.music import tracks
from handlers.music.dedup import Ruling
from handlers.music.preflight import roots
from handlers.music.settings import Params, Settings
from handlers.music.sheet import Sheet

GATE = "tracks.row"
RETRY = StepRetry(attempts=3, first=2.0, ceiling=20.0)


def wanted(ctx: Context) -> bool:
    """Whether the settings name a Tracks database."""
    return ctx.rows(tracks.NAME) is not None


def prepare(ctx: Context, sheet: Sheet) -> None:
    """Phase 0: is it there, and can rows be told in it?"""
    if wanted(ctx):
        sheet.found("0", (ctx.step("tracks database", tracks.look, ctx, retry=RETRY),))


def known(ctx: Context, sheet: Sheet, isrc: str, duration_s: float | None, track: str) -> tracks.Seen:
    """What the database has for the track on the sheet; a part of the dedup phase."""
    settings: Settings = ctx.settings
    if not wanted(ctx):
        return tracks.Seen(row=None)
    who = tracks.Who(id=track, keys=tuple(sheet.keys), isrc=isrc, duration_s=duration_s)
    found = ctx.step("tracks lookup", tracks.seen, ctx, who, settings.same_seconds, retry=RETRY)
    if found.row is None:
        sheet.find("1", "Tracks database", "no row has one of this track's ids")
        return found
    said = "downloaded" if found.row.values.get("downloaded") else "not downloaded yet"
    sheet.find("1", "Tracks database", f"row {found.row.id} has the same {found.by}: {said}")
    if found.others:
        text = f"{len(found.others)} more row(s) for this track: {', '.join(found.others[:5])}"
        sheet.find("1", "Tracks database", f"{text}; they are left alone", "warn")
    return found


def ruled(ctx: Context, ruling: Ruling, found: tracks.Seen, params: Params) -> Ruling:
    """``ruling`` of the library index, with what the row says. A row alone proves nothing (MU-12): only files
    that lie where it says, and that the index does not know, ask for a person."""
    if ruling.call != "new" or found.row is None or params.duplicates == "keep":
        return ruling
    folders = [folder for _, folder, _ in roots(ctx.settings, ctx.home)]
    there = ctx.step("tracks files", tracks.held_files, found.row, folders)
    if not there:
        return ruling
    why = f"its row in the Tracks database names {there[0]}, which is there but not in the index"
    return Ruling(call="review", why=f"{why}: run a library scan")


def after(outcome: Outcome, ctx: Context, sheet: Sheet) -> Outcome:
    """``outcome`` of a finished track, with its row brought up to date and read back."""
    if not isinstance(outcome, Done) or not sheet.files or not wanted(ctx):
        ctx.skip_gate(GATE)
        return outcome
    row = sheet.row
    if row is None:
        isrc, length = str(sheet.track.get("isrc") or ""), sheet.track.get("duration_s")
        row = known(ctx, sheet, isrc, length, sheet.track["id"]).row
    done = tracks.success(sheet.track, sheet.files, sheet.extra)
    reached = [tracks.DONE, *([tracks.IN_EAGLE] if done.get("eagle_id") else [])]
    facts = tracks.first_facts(sheet.track, sheet.keys, sheet.extra.get("analysis", {}))
    written = ctx.step("tracks row", tracks.write, ctx, row, facts, done, reached, retry=RETRY)
    data: dict[str, Any] = {"row": written.row.id, "url": written.row.url, "made": written.made}
    ctx.evidence(
        GATE,
        "page",
        written.row.id,
        not written.wrong,
        data | {"read_back": dict(written.row.values), "wrong": list(written.wrong)},
    )
    how = "made" if written.made else "brought up to date"
    sheet.find("1", "Tracks row", f"{how} and read back: {written.row.url}")
    sheet.extra["tracks"] = data
    return Done(summary=outcome.summary, data=sheet.data(), awaits=outcome.awaits)
