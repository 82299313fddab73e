"""What was detected is what is processed: asserted of the sound that came and of each file at the end.

The predecessor detected one track and processed another (incident MU-21).
The identity is the strong key, the ISRC, artist, title and version, and the length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daemon.sdk import PermanentError
from handlers.music import identity, resolve, urls
from handlers.music.model import Finding, Source, Track
from handlers.music.settings import Params
from handlers.music.sources import Detected

IDENTITY = ("track", "key", "isrc", "artist", "title")
"""What tells a recording, as a file's tags hold it."""


def identity_of(track: Track) -> dict[str, str]:
    """What every file of a track must say of itself: as what it was detected, and so processed (MU-21)."""
    return {
        "track": track.id,
        "key": track.key[:300],
        "isrc": track.isrc,
        "artist": track.artist,
        "title": track.title,
    }


def identity_lost(found: Mapping[str, Any], track: Track) -> list[str]:
    """Where a file's tags, as read back, name another recording; names are compared folded. Pure."""
    wanted = identity_of(track)
    out = [k for k in ("track", "key", "isrc") if str(found[k]) != wanted[k]]
    if identity.name_of(str(found["title"])) != identity.name_of(track.title):
        out.append("title")
    if identity.artists_of(str(found["artist"])) != identity.artists_of(track.artist):
        out.append("artist")
    return out


def identified(track: Track, detected: Detected, params: Params) -> Track:
    """The track under the identity that was detected (MU-21). Pure.

    Raises PermanentError when the sound that came has not the length of what was detected.
    """
    if detected.duration_s is not None:
        off, room = abs(track.duration_s - detected.duration_s), resolve.room(detected.duration_s)
        if off > room:
            raise PermanentError(
                f"what came lasts {track.duration_s:.0f} s, what was detected {detected.duration_s:.0f} s",
                hint="it is another recording; give the right URL",
            )
    title = params.title or detected.title or track.title
    return replace(
        track,
        id=urls.track_id(detected.key),
        key=detected.key,
        artist=params.artist or detected.artist or track.artist,
        title=title,
        version=identity.name_of(title).version,
        album=params.album or detected.album or track.album,
        date=detected.date or track.date,
        isrc=detected.isrc or track.isrc,
        playlist=params.playlist or detected.playlist,
    )


def same_recording(
    source: Source, detected: Detected | None, artist: str, title: str, seconds: float
) -> tuple[Finding, ...]:
    """Hold what an address gives against what was detected, where its identity is more than this address and
    no person chose it. A finding when they are named differently. Pure.

    Raises PermanentError when they are two recordings by the gates of the resolver (MU-21).
    """
    if detected is None or detected.chosen or detected.key == source.key:
        return ()
    if not (detected.artist and detected.title):
        return ()
    found = resolve.Candidate(
        url=source.url, platform=source.platform, title=title, artist=artist, duration_s=seconds
    )
    judged = resolve.judge(detected.wanted(), found)
    said = f"the address gives {artist} – {title}, detected was {detected.artist} – {detected.title}"
    if judged.call == "refuse":
        raise PermanentError(f"{said}: {judged.why}", hint="give the right URL")
    if judged.call == "unsure":
        return (Finding(title="Named otherwise", state="warn", text=f"{said}: {judged.why}"),)
    return ()
