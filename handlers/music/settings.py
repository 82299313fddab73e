"""The ``music`` section of the settings file, and what a task's Parameters may say.

Sizes are bytes, times seconds. A relative or empty path is meant below the home folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Format = Literal["m4a", "aiff", "wav", "backup"]
"""``backup`` is the second M4A, on another root."""

Level = Literal["spotify-now", "soundcloud-likes", "spotify-liked", "tracks-db"]
"""One level of the source chain; the names that ``handoffd music sync --source`` takes."""

Platform = Literal["soundcloud", "youtube", "catalogue"]
"""Where a track without an address is looked for."""

FORMATS: tuple[Format, ...] = ("m4a", "aiff", "wav", "backup")
EXTENSIONS: dict[str, str] = {"m4a": "m4a", "aiff": "aiff", "wav": "wav", "backup": "m4a"}

BACKUP_FOLDER = "_backup"
"""Below the output folder, when no backup folder is set. No playlist can be called that (names.py)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where music goes, in which formats, from where it may come."""

    output: Annotated[str, Meta(description="Folder of the library. Empty = music/ in the home folder.")] = ""
    backup: Annotated[
        str, Meta(description="Folder of the M4A backup; best on another disk. Empty = _backup/ in output.")
    ] = ""
    formats: Annotated[
        tuple[Format, ...],
        Meta(min_length=1, description="Files made of each track. They are made all together or not at all."),
    ] = FORMATS
    layout: Annotated[
        str,
        Meta(
            min_length=1,
            description="Path below output, without extension, for every format. Fields: playlist artist "
            "title album year id.",
        ),
    ] = "{playlist}/{artist} - {title}"
    layouts: Annotated[
        dict[str, str], Meta(description="Format → layout, where one differs from the others.")
    ] = {}
    sources: Annotated[
        tuple[Level, ...], Meta(description="The chain that a task without a URL asks, in order.")
    ] = ("spotify-now", "soundcloud-likes", "spotify-liked", "tracks-db")
    search: Annotated[
        tuple[Platform, ...], Meta(description="Where a track without an address is looked for.")
    ] = ("soundcloud", "youtube")
    catalogues: Annotated[
        tuple[str, ...],
        Meta(
            description="Catalogues of your own, for search: addresses with {query} that answer a JSON list "
            "of url, title, artist, duration."
        ),
    ] = ()
    spotify_base_url: Annotated[
        str, Meta(description="Address of a stand-in for Spotify, for tests. Empty = Spotify.")
    ] = ""
    eagle_base_url: Annotated[
        str, Meta(description="Address of Eagle's API; must be this machine. Empty = no Eagle.")
    ] = ""
    eagle_library: Annotated[
        str, Meta(description="Name of the Eagle library that imports go to; another open one is refused.")
    ] = ""
    eagle_formats: Annotated[
        tuple[Format, ...], Meta(description="Files of a track that are imported into Eagle.")
    ] = ("wav", "aiff")
    soundcloud_profile: Annotated[
        str, Meta(description="Profile whose likes are read, as in soundcloud.com/<profile>.")
    ] = ""
    allow_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts and CIDR blocks that downloads may reach beyond the known platforms: direct "
            "audio files, and private addresses, are refused elsewhere."
        ),
    ] = ()
    extractors: Annotated[
        tuple[str, ...], Meta(description="yt-dlp extractors that may run: regular expressions, lower case.")
    ] = ("youtube.*", "soundcloud.*", "bandcamp.*")
    ffmpeg: Annotated[
        str, Meta(description="Path of ffmpeg. Empty = the system's, else the one of imageio-ffmpeg.")
    ] = ""
    aac_bitrate: Annotated[
        int,
        Meta(
            ge=64, le=320, description="kbit/s of the M4A when the source is not AAC (AAC is never encoded)."
        ),
    ] = 256
    max_bytes: Annotated[int, Meta(ge=1024, description="Largest download, bytes.")] = 1 << 30
    max_seconds: Annotated[
        float, Meta(gt=0, description="Longest track, seconds; longer ones are sets or loops.")
    ] = 7200.0
    download_timeout: Annotated[float, Meta(gt=0, description="Seconds that one download may take.")] = 900.0
    silence_timeout: Annotated[
        float, Meta(gt=0, description="Seconds without any progress after which a child is stopped.")
    ] = 60.0
    min_free: Annotated[
        int, Meta(ge=0, description="Bytes that must be free on each volume before a download starts.")
    ] = 512 << 20
    replaygain: Annotated[
        bool, Meta(description="Measure loudness and write ReplayGain tags; the samples stay as they are.")
    ] = True
    analysis: Annotated[
        bool,
        Meta(
            description="Measure tempo and key where the source does not say them and the extra "
            "handoffd[analysis] is installed."
        ),
    ] = True
    analysis_confidence: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="A tempo or key that was measured with less confidence is written nowhere. 0.6: "
            "of the rhythms and chords of the tests all that reached it was right.",
        ),
    ] = 0.6
    cover_pixels: Annotated[
        int, Meta(ge=64, le=4000, description="Longest edge of an embedded cover, pixels.")
    ] = 1200
    same_seconds: Annotated[
        float,
        Meta(ge=0, le=30, description="Two recordings may differ by this much and be the same one, seconds."),
    ] = 3.0
    dedup_cap: Annotated[
        int, Meta(ge=1, description="A dedup plan that would touch more files than this is refused.")
    ] = 200
    dedup_share: Annotated[
        float,
        Meta(
            gt=0,
            le=0.5,
            description="A dedup plan that would touch a larger share of the library is refused.",
        ),
    ] = 0.05

    def output_folder(self, home: Path) -> Path:
        """Root of the library."""
        return home / self.output if self.output else home / "music"

    def backup_folder(self, home: Path) -> Path:
        """Root of the M4A backup."""
        return home / self.backup if self.backup else self.output_folder(home) / BACKUP_FOLDER

    def index_file(self, home: Path) -> Path:
        """The library index."""
        return home / "library.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """A task's Parameters. ``mode`` empty: ``url`` when the task has a URL, else ``single``.

    ``title``, ``artist``, ``album`` override what the source says. ``playlist`` names the folder.
    ``duplicates``: what a probable (not proved) duplicate does: review asks a person, keep keeps both.
    ``source``: a single level of the chain instead of the whole. ``spotify``: the id of one track.
    ``track``: for mode reject, whose match ``url`` is not; ``forget`` takes all that back.
    ``dry_run``: look only, say what would be done.
    ``row``: the id of one row of the Tracks database.
    """

    mode: Literal[
        "", "url", "single", "batch", "playlist", "scan", "verify", "dedup-plan", "dedup-apply", "reject"
    ] = ""
    url: str = ""
    playlist: str = ""
    title: str = ""
    artist: str = ""
    album: str = ""
    duplicates: Literal["review", "keep"] = "review"
    source: Literal["", "spotify-now", "soundcloud-likes", "spotify-liked", "tracks-db"] = ""
    spotify: str = ""
    row: str = ""
    track: str = ""
    forget: bool = False
    limit: int = 0
    plan: str = ""
    plan_hash: str = ""
    repair: bool = False
    dry_run: bool = False
