"""The source chain: where the next track to sync is looked for when a task has no URL.

Each level is one step with its own child, time limit and attempts. A level that has nothing, is not set up or
does not answer is a miss with a reason, and the next one is asked.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daemon.sdk import (
    AuthError,
    ConfigError,
    Context,
    HandoffdError,
    NotFound,
    PermanentError,
    TransientError,
    Unreachable,
)
from handlers.music import urls
from handlers.music.model import Track
from handlers.music.resolve import Candidate, Wanted
from handlers.music.settings import Settings

SPOTIFY = Path(__file__).with_name("children") / "spotify.py"
SEARCH = Path(__file__).with_name("children") / "search.py"
LEVEL_LIMIT = 5
"""Items that a level looks at: the newest that are not synced yet."""
LEVEL_TIMEOUT = 90.0
"""Seconds for one level; SoundCloud's likes took longer than that when they hung (incident MU-19)."""
SECRETS = ("spotify_client_id", "spotify_client_secret", "spotify_refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """A track that a level names. ``url`` "" = it has to be found on a platform first. ``key``: strong id."""

    level: str
    key: str
    artist: str
    title: str
    album: str = ""
    date: str = ""
    isrc: str = ""
    duration_s: float | None = None
    url: str = ""
    playlist: str = ""
    row: str = ""
    """Id of the Tracks database's row that names it."""
    chosen: bool = False
    """A person chose ``url`` for it."""
    tempo: str = ""
    tonality: str = ""
    """BPM and key as that row says them."""

    def as_track(self) -> Track:
        """For a lookup in the index, before anything is known of the sound."""
        return Track(
            id=urls.track_id(self.key),
            key=self.key,
            artist=self.artist,
            title=self.title,
            version="",
            album=self.album,
            date=self.date,
            genre="",
            isrc=self.isrc,
            playlist=self.playlist,
            url=self.url,
            duration_s=self.duration_s or 0.0,
        )

    def wanted(self) -> Wanted:
        """As the resolver asks for it."""
        return Wanted(artist=self.artist, title=self.title, duration_s=self.duration_s, isrc=self.isrc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What one level gave. ``miss`` "" = it gave ``items``; ``passing``: the miss may be gone later."""

    name: str
    items: tuple[Detected, ...]
    note: str = ""
    miss: str = ""
    passing: bool = False
    retry_after: float | None = None


def ask_level(ctx: Context, name: str, settings: Settings, one: str = "", limit: int = LEVEL_LIMIT) -> Level:
    """Step: one level. What is only a miss does not raise; TransientError does, for the step's own retry.

    ``one``: the track's id for the level ``spotify-track``, the row's for ``tracks-row``.
    """
    try:
        if name == "spotify-now":
            return _spotify(ctx, name, {"op": "now"}, settings)
        if name == "spotify-track":
            return _spotify(ctx, name, {"op": "track", "id": one}, settings)
        if name == "spotify-liked":
            return _spotify(ctx, name, {"op": "liked", "limit": limit}, settings)
        if name == "soundcloud-likes":
            return _likes(ctx, settings, limit)
        return _rows(ctx, name, settings, one, limit)
    except HandoffdError as error:
        if isinstance(error, TransientError) and error.retry_after is None:
            raise  # the step's own retry; a named time is never waited for inside a worker
        return Level(
            name=name,
            items=(),
            miss=error.one_line(),
            passing=isinstance(error, TransientError),
            retry_after=getattr(error, "retry_after", None),
        )


def _rows(ctx: Context, name: str, settings: Settings, one: str, limit: int) -> Level:
    from handlers.music import tracks

    found = (
        tracks.one_row(ctx, settings, one) if name == "tracks-row" else tracks.next_rows(ctx, settings, limit)
    )
    return Level(name=name, items=found, miss="" if found else "no row that is not synced")


def _likes(ctx: Context, settings: Settings, limit: int) -> Level:
    if not settings.soundcloud_profile:
        raise ConfigError("music.soundcloud_profile is not set")
    url = f"https://soundcloud.com/{quote(settings.soundcloud_profile, safe='')}/likes"
    items, _ = listed(ctx, url, "soundcloud", settings, limit, "soundcloud-likes")
    return Level(name="soundcloud-likes", items=items, miss="" if items else "no likes")


def _spotify(ctx: Context, name: str, order: dict[str, Any], settings: Settings) -> Level:
    said = ask_spotify(ctx, order, settings)
    items = tuple(detected_of(row, name) for row in said["items"])
    note = str(said.get("note", ""))
    return Level(name=name, items=items, note=note, miss="" if items else note or "nothing there")


def detected_of(row: dict[str, Any], level: str, playlist: str = "") -> Detected:
    """A Spotify track as a detected one."""
    return Detected(
        level=level,
        key=f"spotify:{row['id']}",
        artist=", ".join(row["artists"]),
        title=row["title"],
        album=row["album"],
        date=row["date"],
        isrc=row["isrc"].upper(),
        duration_s=row["duration_s"],
        playlist=playlist,
    )


def ask_spotify(ctx: Context, order: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """One question to Spotify. Raises ConfigError without credentials, AuthError when they are refused,
    TransientError with the named time when it limits us."""
    secrets = {name: ctx.secret(name) for name in SECRETS}
    missing = [name for name, value in secrets.items() if not value]
    if missing:
        raise ConfigError(f"Spotify is not set up: {', '.join(missing)} missing", hint="see docs/settings.md")
    full = {
        **order,
        "base_url": settings.spotify_base_url,
        "client_id": secrets["spotify_client_id"],
        "client_secret": secrets["spotify_client_secret"],
        "refresh_token": secrets["spotify_refresh_token"],
    }
    said = _child(ctx, SPOTIFY, full, 60.0)
    if "error" in said:
        raise _spotify_error(said["error"])
    return said


def _spotify_error(error: dict[str, Any]) -> HandoffdError:
    kind, text = error.get("kind"), f"Spotify: {str(error.get('message', ''))[:200]}"
    named = str(error.get("retry_after") or "")
    after = float(named) if named.isdecimal() else None
    if kind == "auth":
        return AuthError(text, hint="make a new refresh token: this one is refused")
    if kind == "forbidden":
        return AuthError(text, hint="the app needs a Premium account and the scopes of docs/settings.md")
    if kind == "limited":
        return TransientError(text, retry_after=after)
    if kind == "missing":
        return NotFound(text, hint="is the playlist private, or gone?")
    return Unreachable(text, retry_after=after) if kind == "network" else TransientError(text)


def search(ctx: Context, wanted: Wanted, settings: Settings) -> tuple[list[Candidate], dict[str, str]]:
    """Candidates of every configured platform, and which platform failed why. Opens none of them."""
    words = f"{wanted.artist} {wanted.title}".strip()
    plain = " ".join(words.split())[:200]
    targets = []
    for platform in settings.search:
        if platform == "soundcloud":
            targets.append({"platform": platform, "target": f"scsearch10:{plain}"})
        elif platform == "youtube":
            targets.append({"platform": platform, "target": f"ytsearch10:{plain}"})
        else:
            filled = (c.replace("{query}", quote(plain, safe="")) for c in settings.catalogues)
            targets += [{"platform": "catalogue", "target": target} for target in filled]
    said = _search(ctx, targets, settings, 20)
    hits = [Candidate(**{k: v for k, v in hit.items() if k != "list"}) for hit in said["hits"]]
    return hits, said["failed"]


def listed(
    ctx: Context, url: str, platform: str, settings: Settings, limit: int, level: str
) -> tuple[tuple[Detected, ...], str]:
    """The entries of a playlist or of likes, and its title. Raises Unreachable when it can't be read."""
    said = _search(ctx, [{"platform": platform, "target": url}], settings, limit)
    if said["failed"]:
        raise Unreachable(f"{platform}: {next(iter(said['failed'].values()))}")
    hits = said["hits"]
    title = hits[0]["list"] if hits else ""
    items = tuple(
        Detected(
            level=level,
            key=key_of(hit["url"], settings),
            artist=hit["artist"],
            title=hit["title"],
            duration_s=hit["duration_s"],
            url=hit["url"],
            playlist=title,
        )
        for hit in hits
    )
    return items, title


def key_of(url: str, settings: Settings) -> str:
    """The strong id of a listed address, the same as mode url gives it."""
    try:
        return urls.parse(url, settings.allow_hosts).key
    except HandoffdError:
        return f"url:{url}"


def _search(ctx: Context, queries: list[dict[str, str]], settings: Settings, limit: int) -> dict[str, Any]:
    order = {
        "queries": queries,
        "limit": limit,
        "allow": list(settings.allow_hosts),
        "extractors": list(settings.extractors),
    }
    return _child(ctx, SEARCH, order, LEVEL_TIMEOUT)


def _child(ctx: Context, script: Path, order: dict[str, Any], timeout: float) -> dict[str, Any]:
    result = ctx.child(
        [sys.executable, "-I", str(script)],
        stdin=json.dumps(order).encode(),
        timeout=timeout,
        keep=4 << 20,
        env={"YTDLP_NO_PLUGINS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if result.ended != "exit":
        raise TransientError(f"{script.stem}: no answer ({result.ended} after {result.wall_s:.0f} s)")
    try:
        said = json.loads(result.stdout)
    except ValueError:
        tail = " ".join(result.stderr.split())[-200:]
        raise PermanentError(f"the {script.stem} process ended with {result.returncode}: {tail}") from None
    return dict(said)
