"""The Tracks database: the row of a track, found by a strong id alone, made once, and read back.

A title is never an identity (incident MU-6): what the database offers is compared here by our own id,
Spotify id, address or ISRC with its length. Stage and error are replaced on success, never added to (MU-24);
a path is written after the file was checked (MU-13).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.sdk import ConfigError, Context, HandoffdError, PermanentError, Row, Rows
from handlers.music import urls
from handlers.music.library import Library
from handlers.music.model import Finding
from handlers.music.settings import Settings
from handlers.music.sources import Detected

NAME = "tracks"
SPOTIFY_ID = re.compile(r"[A-Za-z0-9]{22}")
ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
ADDRESSES = ("soundcloud_url", "youtube_url", "bandcamp_url", "source_url")
STRONG = ("own_id", "spotify_id", "isrc", *ADDRESSES)
"""Keys that can tell a row, in the order in which a new one is made by them."""
DONE = "Format Conversion Complete"
IN_EAGLE = "Files Imported to Eagle"
FAULT = "Error Occurred During Processing"
STAGES = frozenset(
    {
        DONE,
        IN_EAGLE,
        FAULT,
        "Audio Analysis Complete",
        "Audio Normalized",
        "Eagle Import Complete",
        "Metadata Enriched",
        "SC_404",
        "SC_Geo_Blocked",
        "Download_Failed",
        "Conversion_Failed",
        "Eagle_Import_Failed",
        "Notion_Update_Failed",
        "Dedup_Failed",
        "Lock_Conflict",
        "Metadata_Failed",
        "Unknown_Error",
    }
)
"""Stages and errors that machines wrote (research/incumbent.md §3.5): replaced. Others are people's: kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """A track as the database is asked for it. ``keys``: strong keys as the library index has them."""

    id: str
    keys: tuple[str, ...]
    isrc: str
    duration_s: float | None

    def texts(self) -> dict[str, str]:
        """Key → text that a candidate row's property contains."""
        out = {"own_id": self.id, "isrc": self.isrc}
        for key in self.keys:
            kind, _, rest = key.partition(":")
            match kind:
                case "spotify":
                    out |= {"spotify_id": rest, "spotify_url": rest}
                case "soundcloud" | "youtube":
                    out |= {f"{kind}_url": rest, "source_url": rest}
                case "url":
                    out["source_url"] = urls.shown(rest)
        return {k: v[:90] for k, v in out.items() if v}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the database has for a track. ``row`` None = nothing; ``others``: further rows of it."""

    row: Row | None
    by: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A row as it was read back, and what in it is not as meant."""

    row: Row
    made: bool
    wrong: tuple[str, ...]


def database(ctx: Context) -> Rows:
    """The database. ConfigError when the settings name none."""
    rows = ctx.rows(NAME)
    if rows is None:
        raise ConfigError("board.tracks_database_id is not set", hint="name the Tracks database there")
    return rows


def look(ctx: Context) -> Finding:
    """Step: is the database there, and can a row be told in it? ConfigError when not."""
    rows = database(ctx)
    have = rows.keys
    if not have & set(STRONG):
        raise ConfigError(
            f"“{rows.title}” has no property that tells a track",
            hint="add a text property “handoffd Track”, or one for ISRC, Spotify ID or an address",
        )
    lacking = [k for k in ("downloaded", "stage", "error", "m4a_path") if k not in have]
    text = f"“{rows.title}”, {len(have)} properties used"
    if lacking:
        return Finding(title="Tracks database", state="warn", text=f"{text}; none for {', '.join(lacking)}")
    return Finding(title="Tracks database", state="ok", text=text)


def seen(ctx: Context, who: Who, window: float) -> Seen:
    """Step: the oldest row that a strong id says is this track. ``window``: how far lengths may differ, s."""
    found = [(row, by) for row in database(ctx).find(who.texts()) if (by := same(row, who, window))]
    if not found:
        return Seen(row=None)
    (row, by), *more = found
    return Seen(row=row, by=by, others=tuple(r.id for r, _ in more))


def same(row: Row, who: Who, window: float) -> str:
    """Which strong id of the row is the track's, "" = none. Pure."""
    said = row.values
    if who.id and said.get("own_id") == who.id:
        return "handoffd:track"
    spotify = {k.partition(":")[2] for k in who.keys if k.startswith("spotify:")}
    if spotify & {spotify_of(said)}:
        return "Spotify id"
    if {_address_key(str(said.get(a) or "")) for a in ADDRESSES} & set(who.keys):
        return "address"
    if who.isrc and str(said.get("isrc") or "").strip().upper() == who.isrc:
        # An ISRC is used again for edits and explicit versions (research/music.md §6.1).
        length, ours = length_of(said), who.duration_s
        if length is None or ours is None or abs(length - ours) <= window:
            return "ISRC"
    return ""


def spotify_of(said: Mapping[str, Any]) -> str:
    """The Spotify id that a row names, "" = none."""
    text = str(said.get("spotify_id") or "").strip().rpartition(":")[2]
    if SPOTIFY_ID.fullmatch(text):
        return text
    found = re.search(r"/track/([A-Za-z0-9]{22})(?:[/?#]|$)", str(said.get("spotify_url") or ""))
    return found.group(1) if found else ""


def length_of(said: Mapping[str, Any]) -> float | None:
    """Seconds, as a row says it."""
    if isinstance(said.get("duration_s"), int | float):
        return float(said["duration_s"])
    whole = said.get("duration_ms")
    return whole / 1000 if isinstance(whole, int | float) else None


def _address_key(text: str) -> str:
    host = text.partition("//")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
    try:
        return urls.parse(text, (host.lower(),)).key if text else ""
    except HandoffdError:
        return ""


def next_rows(ctx: Context, settings: Settings, limit: int) -> tuple[Detected, ...]:
    """The oldest rows that are not synced and may still work. Inside a step."""
    rows = database(ctx)
    where = {"downloaded": False} if "downloaded" in rows.keys else {"m4a_path": False}
    with Library.looking(settings.index_file(ctx.home)) as library:

        def skip(row: Row) -> bool:
            item = detected(row, settings)
            return item is None or bool(library.rejection(item.key))

        found = rows.first(where, limit, skip)
    return tuple(item for row in found if (item := detected(row, settings)) is not None)


def one_row(ctx: Context, settings: Settings, row: str) -> tuple[Detected, ...]:
    """A row by its id. Inside a step. Raises PermanentError when it says too little."""
    item = detected(database(ctx).read(row), settings)
    if item is None:
        raise PermanentError(
            "the row names neither an artist and a title nor an address", hint="fill them in"
        )
    return (item,)


def detected(row: Row, settings: Settings, level: str = "tracks-db") -> Detected | None:
    """A row as a detected track; None when nothing in it can be looked for. Pure."""
    said = row.values
    artist, title = str(said.get("artist") or "").strip(), str(said.get("title") or "").strip()
    url, key = _usable_address(said, settings)
    isrc = str(said.get("isrc") or "").strip().upper()
    isrc = isrc if ISRC.fullmatch(isrc) else ""
    spotify = spotify_of(said)
    if not url and not (artist and title):
        return None
    strong = f"spotify:{spotify}" if spotify else key or (f"isrc:{isrc}" if isrc else f"row:{row.id}")
    return Detected(
        level=level,
        key=strong,
        artist=artist,
        title=title,
        album=str(said.get("album") or ""),
        isrc=isrc,
        duration_s=length_of(said),
        url=url,
        playlist=str(said.get("playlist") or ""),
        row=row.id,
        tempo=str(said.get("tempo") or ""),
        tonality=str(said.get("key") or ""),
    )


def _usable_address(said: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    """The first address of a row that may be fetched, with its strong key."""
    for name in ADDRESSES:
        text = str(said.get(name) or "").strip()
        if not text:
            continue
        try:
            source = urls.parse(text, settings.allow_hosts)
        except HandoffdError:
            continue
        return source.url, source.key
    return "", ""


def held_files(row: Row, roots: Sequence[Path]) -> list[str]:
    """Files that a row names and that lie in our folders. A path of a page is only looked at, never used."""
    named = [str(row.values.get(f"{kind}_path") or "") for kind in ("m4a", "aiff", "wav")]
    out = []
    for text in named:
        if not text.startswith("/") or "\0" in text:
            continue
        path = Path(text).resolve()
        if any(path.is_relative_to(r.resolve()) for r in roots) and path.is_file():
            out.append(text)
    return out


def success(
    sheet_track: Mapping[str, Any], files: Sequence[Mapping[str, Any]], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """What a row says of a track whose files were proved: what was measured, or a source said. Pure."""
    paths = {f"{f['format']}_path": str(f["path"]) for f in files}
    lossy = any(f["lossy_source"] for f in files)
    eagle = [i["id"] for i in extra.get("eagle", {}).get("items", [])]
    return {
        **paths,
        "own_id": sheet_track["id"],
        "downloaded": True,
        "error": "",
        "duration_s": round(float(sheet_track["duration_s"]), 3),
        "source_quality": "lossy source" if lossy else "lossless source",
        **({"eagle_id": ", ".join(eagle)} if eagle else {}),
    }


def first_facts(track: Mapping[str, Any], keys: Sequence[str], heard: Mapping[str, Any]) -> dict[str, Any]:
    """What is written where a row says nothing yet: a person's own words stay. Pure.

    ``heard``: tempo and key, as readings.
    """
    out: dict[str, Any] = {
        k: track.get(k, "") for k in ("title", "artist", "album", "genre", "isrc", "playlist")
    }
    url = str(track.get("url") or "")
    platform = urls.platform_of(url.partition("//")[2].partition("/")[0].lower())
    out["source_url" if platform == "direct" else f"{platform}_url"] = urls.shown(url) if url else ""
    tempo, tonality = (heard.get(name, {}).get("value", "") for name in ("tempo", "key"))
    out |= {"tempo": float(tempo) if tempo else 0.0, "key": tonality}
    for key in keys:
        if key.startswith("spotify:"):
            out["spotify_id"] = key.partition(":")[2]
    return {k: v for k, v in out.items() if v}


def stages(before: Any, reached: Sequence[str]) -> Any:
    """A row's stages after a success or a failure: a machine's are replaced, a person's stay. Pure."""
    if not isinstance(before, list):
        return reached[-1] if reached else ""
    return [*(s for s in before if s not in STAGES), *reached]


def write(
    ctx: Context, known: Row | None, facts: dict[str, Any], done: dict[str, Any], reached: list[str]
) -> Written:
    """Step: the row says that the track is done; made when there is none. Looked at, written, read back."""
    rows = database(ctx)
    made = known is None
    if known is None:
        by = next((k for k in STRONG if k in rows.keys and (done | facts).get(k)), "")
        if not by:
            raise ConfigError(
                f"“{rows.title}” has no property that tells this track", hint="add “handoffd Track”"
            )
        known = rows.create(by, facts | done)
    missing = {k: v for k, v in facts.items() if known.values.get(k) in ("", None)}
    values = {**missing, **done, "stage": stages(known.values.get("stage"), reached)}
    after = rows.update(known.id, values)
    row = rows.read(after.id)
    wrong = tuple(k for k, v in done.items() if k in row.values and row.values[k] != v)
    left = set(row.values.get("stage") or ()) & (STAGES - set(reached))
    return Written(
        row=row,
        made=made,
        wrong=wrong + tuple(sorted(left if isinstance(row.values.get("stage"), list) else ())),
    )


def failed(ctx: Context, row: str, reason: str) -> Row:
    """Step: the row says why its track can never work, so that people see why it is left out."""
    rows = database(ctx)
    known = rows.read(row)
    values = {"error": reason[:500], "stage": stages(known.values.get("stage"), [FAULT])}
    return rows.update(row, values)
