"""Further databases that handlers may use, by name, with other names of their properties as data.

Nothing here is created or renamed: what a database has is used, what it lacks is left out and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key. ``names``: what its property may be called, the first that exists wins (case, spaces and signs
    don't count). ``types``: property types that can hold it."""

    key: str
    names: tuple[str, ...]
    types: tuple[str, ...]


def _field(key: str, types: str, *names: str) -> Field:
    return Field(key=key, names=names, types=tuple(types.split()))


_TEXT = "rich_text"
_LINK = "url rich_text"

TRACKS: Mapping[str, Field] = {
    f.key: f
    for f in (
        _field("title", "title", "Title", "Name"),
        _field("artist", _TEXT, "Artist Name", "Artists", "Artist"),
        _field("album", _TEXT, "Album", "Album Name"),
        _field("genre", "select rich_text", "Genre", "Genres"),
        _field("isrc", _TEXT, "ISRC", "Track ISRC"),
        _field("spotify_id", _TEXT, "Spotify ID", "Spotify Track ID", "SpotifyID"),
        _field("own_id", _TEXT, "handoffd Track", "handoffd:track", "Track Key"),
        _field("soundcloud_url", _LINK, "SoundCloud URL"),
        _field("spotify_url", _LINK, "Spotify URL", "Spotify Link"),
        _field("youtube_url", _LINK, "YouTube URL"),
        _field("bandcamp_url", _LINK, "Bandcamp URL", "Bandcamp"),
        _field("source_url", _LINK, "Source URL", "URL"),
        _field("downloaded", "checkbox", "Downloaded", "DL"),
        _field(
            "stage",
            "multi_select select rich_text",
            "Audio Processing",
            "Audio Processing Status",
            "Audio Analysis Status",
        ),
        _field("error", _TEXT, "Error", "Last Error", "Sync Error"),
        _field("m4a_path", _LINK, "M4A File Path", "M4A", "M4A Path"),
        _field("aiff_path", _LINK, "AIFF File Path", "AIFF", "AIFF Path"),
        _field("wav_path", _LINK, "WAV File Path", "WAV", "WAV Path"),
        _field("backup_path", _LINK, "M4A Backup Path", "Backup Path"),
        _field("eagle_id", _TEXT, "Eagle File ID", "Eagle ID", "EagleID"),
        _field("duration_s", "number", "Audio Duration (seconds)", "Duration (s)", "TotalTime"),
        _field("duration_ms", "number", "Duration (ms)"),
        _field("loudness", "number", "Audio LUFS Level", "Loudness Level"),
        _field("sample_rate", "number", "Audio Sample Rate", "SampleRate"),
        _field("tempo", "number", "Tempo", "AverageBpm", "BPM"),
        _field("key", _TEXT, "Key"),
        _field("playlist", "rich_text select", "Playlist", "Playlist Title", "Playlist Name"),
        _field("source_quality", "rich_text select", "Source Quality", "Lossy Origin"),
        _field("processed", "date", "Processing Timestamp", "Processed At"),
        _field("report", _LINK, "Report", "Sync Report"),
    )
}
"""The Tracks database: names from boards that exist (research/incumbent.md §3.5)."""

DATABASES: Mapping[str, Mapping[str, Field]] = {"tracks": TRACKS}
"""Name that a handler asks for → its fields. Its id is the setting ``board.<name>_database_id``."""
