"""Modes ``playlist`` and ``batch``: one task for each track that is new, each with its own durable run.

The board is the checkpoint: a track's task is made once, ever, by its key, so a list that broke off goes on
where it was, one track that fails holds back no other, and everybody sees how far it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from daemon.sdk import Context, Done, Outcome, PermanentError, Task
from handlers.music import flow_single, flow_url, sources, urls
from handlers.music.settings import Params, Settings
from handlers.music.sheet import Sheet
from handlers.music.sources import Detected

LIMIT = 100
"""Tracks of one task when it names no limit."""
SPOTIFY = re.compile(
    r"https://open\.spotify\.com/(?:intl-[a-z]+/)?(track|playlist)/([A-Za-z0-9]{22})(?:[?#].*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The tracks of a list, in its order."""

    items: tuple[Detected, ...]


def run(task: Task, url: str, params: Params, ctx: Context, sheet: Sheet) -> Outcome:
    """List, leave out what the library has, make a task for each of the rest."""
    flow_url.prepare(ctx, sheet)
    sheet.stage = "source.resolved"
    found = items(url, params, ctx, sheet)
    new = 0
    for number, item in enumerate(found):
        ctx.progress(number, len(found), "making tasks")
        new += _made(ctx, item, params, task)
    flow_single.skip_the_making(ctx)
    ctx.evidence("source.resolved", "query", "list", True, {"items": len(found), "new": new})
    text = f"{len(found)} tracks listed, {new} not in the library yet, each with a task of its own"
    sheet.find("0.5", "List", text)
    return Done(summary=f"{text}.", data=sheet.data())


def items(url: str, params: Params, ctx: Context, sheet: Sheet) -> tuple[Detected, ...]:
    """The tracks that the playlist, or the levels of the chain, name; as many as the task says at most."""
    settings: Settings = ctx.settings
    limit = params.limit or LIMIT
    if sheet.mode == "playlist":
        retry = flow_single.LEVEL_RETRY
        return ctx.step("list", playlist, ctx, url, settings, limit, retry=retry).items[:limit]
    levels = flow_single.levels(params, settings)
    asked = [flow_single.ask(ctx, name, params, sheet, limit) for name in levels]
    return tuple(item for level in asked for item in level.items)[:limit]


def _made(ctx: Context, item: Detected, params: Params, task: Task) -> bool:
    index = ctx.settings.index_file(ctx.home)
    before = ctx.step(f"known {item.key}", flow_single.known_before, index, item, ctx.settings.same_seconds)
    if before.rejected or (before.match is not None and before.match.certain):
        return False
    ctx.follow_up(f"music:{item.key}", flow_single.draft_for(item, params.playlist, task))
    return True


def playlist(ctx: Context, url: str, settings: Settings, limit: int) -> Listed:
    """Step: the tracks of a playlist's address, on Spotify or on a platform that yt-dlp reads."""
    match = SPOTIFY.fullmatch(url.strip())
    if match and match.group(1) == "playlist":
        said = sources.ask_spotify(ctx, {"op": "playlist", "id": match.group(2), "limit": limit}, settings)
        return Listed(items=tuple(sources.detected_of(row, "playlist") for row in said["items"]))
    source = urls.parse(url, settings.allow_hosts)
    if source.direct:
        raise PermanentError(f"{source.host} is no platform with playlists", hint="use a track's URL")
    items, _ = sources.listed(ctx, url, source.platform, settings, limit, "playlist")
    return Listed(items=items)


def is_playlist(url: str) -> bool:
    """Whether it is the address of a Spotify playlist."""
    match = SPOTIFY.fullmatch(url.strip())
    return match is not None and match.group(1) == "playlist"


def spotify_track(url: str) -> str:
    """The id of a Spotify track's address, "" = it is none. Nothing is downloaded from Spotify (MU-18)."""
    match = SPOTIFY.fullmatch(url.strip())
    return match.group(2) if match and match.group(1) == "track" else ""
