"""What is written into the files' tags, and the child that writes and reads them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon.sdk import BlockedError, Context, PermanentError
from handlers.music.model import Audio, Cover, Made, Track
from handlers.music.settings import EXTENSIONS

CHILD = Path(__file__).with_name("children") / "tags.py"
MEMORY = 1024 << 20
REFERENCE_LUFS = -18.0
FULL = re.compile("No space left|Disk quota exceeded")
OWN_TAG = "handoffd:track"
"""Custom field that holds the track's id: how a file is recognised as ours, and as which."""

TEMPO_TAG, TONALITY_TAG = "handoffd:tempo", "handoffd:tonality"
"""Custom fields with the exact value, how sure it is, and who says so (``Reading.line``)."""


def fields_for(track: Track) -> dict[str, str]:
    """The common fields, empty ones left out. The comment names the source."""
    named = {
        "title": track.title,
        "artist": track.artist,
        "albumartist": track.artist,
        "album": track.album,
        "date": track.date,
        "genre": track.genre,
        "isrc": track.isrc,
        "comment": track.url,
        "bpm": f"{float(track.tempo.value):.0f}" if track.tempo.value else "",
        "tonality": track.tonality.value,
    }
    return {k: v for k, v in named.items() if v}


def custom_for(track: Track, source: Audio, kind: str, how: str) -> dict[str, str]:
    """Our own id, and the truth about the sound: what codec it was, and that PCM of it is no better."""
    rate = f"{source.bitrate}000" if source.bitrate else ""
    codec = f"{source.codec}-{source.profile.lower()}" if source.profile else source.codec
    named = {
        OWN_TAG: track.id,
        "handoffd:key": track.key[:300],
        "handoffd:playlist": track.playlist,
        TEMPO_TAG: track.tempo.line(" BPM") if track.tempo.value else "",
        TONALITY_TAG: track.tonality.line() if track.tonality.value else "",
        "SOURCE_URL": track.url,
        "SOURCE_CODEC": codec,
        "SOURCE_BITRATE": rate,
        "SOURCE_SAMPLERATE": str(source.rate),
        "SOURCE_LOSSY": "1" if source.lossy else "0",
        "ENCODING": _encoding(source, kind, how),
    }
    return {k: v for k, v in (named | replaygain(source)).items() if v}


def replaygain(source: Audio) -> dict[str, str]:
    """ReplayGain 2.0 (reference −18 LUFS) as tags; nothing when the loudness was not measured."""
    if source.loudness is None or source.peak is None:
        return {}
    return {
        "REPLAYGAIN_TRACK_GAIN": f"{REFERENCE_LUFS - source.loudness:+.2f} dB",
        "REPLAYGAIN_TRACK_PEAK": f"{10 ** (source.peak / 20):.6f}",
    }


def _encoding(source: Audio, kind: str, how: str) -> str:
    if how == "copied":
        return "stream copy: the source's own packets"
    if EXTENSIONS[kind] == "m4a":
        return "encoded from the source" if source.lossy else "encoded from a lossless source"
    origin = "a lossy stream: no more information than the source" if source.lossy else "a lossless source"
    return f"PCM rendering of {origin}"


def write(ctx: Context, files: Sequence[Made], track: Track, source: Audio, cover: Cover) -> None:
    """Tag work files in place. What they then hold is read where they are placed (``verify.read_back``).

    Raises BlockedError on a full disk, PermanentError when a file can't be tagged.
    """
    items = [
        {
            "path": f.path,
            "kind": EXTENSIONS[f.format],
            "fields": fields_for(track),
            "custom": custom_for(track, source, f.format, f.how),
        }
        for f in files
    ]
    results = _ask(ctx, {"op": "write", "items": items, "cover": cover.path})
    bad = [f"{Path(r['path']).name}: {r['error']}" for r in results if "error" in r]
    if any(FULL.search(b) for b in bad):
        raise BlockedError("no space left while tagging", hint="free space on the work folder's disk")
    if bad:
        raise PermanentError("tags could not be written", problems=tuple(bad))


def read(ctx: Context, paths: Sequence[str]) -> list[dict[str, Any]]:
    """Tags of each file, in order; ``{"path", "error"}`` for one that can't be read."""
    return _ask(ctx, {"op": "read", "items": [{"path": p} for p in paths], "cover": ""}) if paths else []


def _ask(ctx: Context, order: dict[str, Any]) -> list[dict[str, Any]]:
    result = ctx.child(
        [sys.executable, "-I", str(CHILD)],
        stdin=json.dumps(order).encode(),
        timeout=120.0,
        keep=4 << 20,
        max_memory=MEMORY,
    )
    try:
        answer = json.loads(result.stdout) if result.ok else None
    except ValueError:
        answer = None
    if not isinstance(answer, list) or len(answer) != len(order["items"]):
        tail = " ".join(result.stderr.split())[-200:]
        raise PermanentError(f"the tag process ended with {result.ended} {result.returncode}: {tail}")
    return answer


def wrong(found: dict[str, Any], track: Track, cover: bool) -> list[str]:
    """What a file's tags, as read back, lack or hold differently; empty = they are as meant."""
    if "error" in found:
        return [str(found["error"])]
    out = [
        f"{name}: {found['fields'].get(name)!r} instead of {value!r}"
        for name, value in fields_for(track).items()
        if found["fields"].get(name) != value
    ]
    if found["custom"].get(OWN_TAG) != track.id:
        out.append(f"{OWN_TAG}: {found['custom'].get(OWN_TAG)!r} instead of {track.id!r}")
    if cover and not found.get("cover"):
        out.append("the cover is missing")
    if "info" in found and found["info"].get("title") != track.title:
        out.append("LIST INFO has no title")
    return out
