"""After the files are in the library: into Eagle, when the settings name one.

Eagle not running is no failure of the track: the run ends as Partial, and the task looks again until the app
is there, without using up attempts. The files are checked again then, and not made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.sdk import Context, Done, Draft, HandoffdError, Outcome, Task, TransientError
from handlers.music.eagle import Eagle, Imported, Wish
from handlers.music.settings import Settings
from handlers.music.sheet import Sheet

LOOK_AGAIN_S = 900.0
MAX_TAGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringing:
    """``why`` "" = all are in; else what stands against it, and whether it may pass."""

    items: tuple[Imported, ...]
    why: str = ""
    passing: bool = False


def after(outcome: Outcome, task: Task, ctx: Context, sheet: Sheet) -> Outcome:
    """``outcome`` of a finished track, with Eagle seen to."""
    settings: Settings = ctx.settings
    if not isinstance(outcome, Done) or not sheet.files or not settings.eagle_base_url:
        ctx.skip_gate("eagle.imported")
        return outcome
    wishes = wishes_for(sheet, settings)
    found = ctx.step("eagle", bring, settings.eagle_base_url, settings.eagle_library, wishes)
    rows: list[dict[str, Any]] = [
        {"format": i.format, "id": i.id, "how": i.how, "bytes": i.bytes} for i in found.items
    ]
    sheet.extra["eagle"] = {"items": rows, "why": found.why}
    if not found.why:
        for item in rows:
            ctx.evidence("eagle.imported", "query", f"item {item['id']}", True, item)
        sheet.find("1", "Eagle", f"{len(rows)} item(s) in the library")
        return Done(summary=outcome.summary, data=sheet.data())
    ctx.evidence("eagle.imported", "query", "app", False, {"why": found.why, "passing": found.passing})
    sheet.find("1", "Eagle", found.why, "warn")
    if not found.passing:
        return Done(summary=f"{outcome.summary} Not in Eagle: {found.why}.", data=sheet.data())
    summary = f"{outcome.summary} Not in Eagle yet: {found.why}."
    if sheet.mode == "url":
        sheet.find("2", "Eagle", "this task looks again until the app is there")
        return Done(summary=summary, data=sheet.data(), awaits=("eagle.imported",), again=LOOK_AGAIN_S)
    # What this task detects next time may be another track: the import gets a task with the track's address.
    ctx.follow_up(f"music-eagle:{sheet.track['id']}", later(task, sheet))
    sheet.find("2", "Follow-up", "a task of its own brings the files into Eagle when the app is there")
    return Done(summary=summary, data=sheet.data())


def later(task: Task, sheet: Sheet) -> Draft:
    """The task that brings a detected track's files into Eagle: it finds them by the track's address."""
    track = sheet.track
    return Draft(
        title=f"Into Eagle: {track['artist']} – {track['title']}"[:200],
        handler="music-sync",
        url=str(sheet.source.get("url", "")),
        priority=task.priority,
    )


def wishes_for(sheet: Sheet, settings: Settings) -> tuple[Wish, ...]:
    """What should be in Eagle of the track on the sheet."""
    track = sheet.track
    tags = [t for t in (track.get("playlist"), track.get("genre"), track.get("artist")) if t]
    return tuple(
        Wish(
            track=track["id"],
            format=row["format"],
            path=row["path"],
            name=f"{track['artist']} - {track['title']}"[:200],
            url=str(track.get("url", "")),
            tags=tuple([*tags, str(row["format"]).upper()][:MAX_TAGS]),
        )
        for row in sheet.files
        if row["format"] in settings.eagle_formats
    )


def bring(base_url: str, library: str, wishes: tuple[Wish, ...]) -> Bringing:
    """Step: every file into Eagle, once. Does not raise for what stands against it."""
    try:
        eagle = Eagle(base_url, library)
        return Bringing(items=tuple(eagle.bring(wish) for wish in wishes))
    except HandoffdError as error:
        return Bringing(items=(), why=error.one_line(), passing=isinstance(error, TransientError))
