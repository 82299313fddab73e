"""Samples of the music sync: one that proved everything, one with the reference report's own disease."""

from __future__ import annotations

from daemon.core.evidence import Evidence, Gate
from daemon.core.ports import Bundle
from daemon.reports.samples.build import bundle, ev, file

MUSIC_GATES = (
    Gate(name="entry-points", title="What the run needs is there and was called", group="Pre-Execution"),
    Gate(name="related-items", title="Open tasks about this track were looked for", group="Pre-Execution"),
    Gate(name="source", title="The source was resolved to one track", group="Source"),
    Gate(name="dedup", title="Database, Eagle and library were searched for the track", group="Execution"),
    Gate(name="download", title="The audio decodes from start to end", group="Execution"),
    Gate(
        name="files", title="All four files are in place and decode to the source's length", group="Execution"
    ),
    Gate(name="tags", title="Tags and cover read back from every file", group="Execution"),
    Gate(name="tracks-row", title="The Tracks row reads back as written", group="Execution"),
    Gate(name="eagle", title="Eagle holds the track", required=False, group="Execution"),
    Gate(name="library-delta", title="The library grew by exactly this run's files", group="Post-Execution"),
)
"""Gates of the sample; the handler declares its own."""


def music_done() -> Bundle:
    """A track synced, everything measured but Eagle, which was not running."""
    page = "4" * 32
    evidence = [
        ev("entry-points", "command", "ffmpeg -version", True, 0.2, code=0, version="7.1"),
        ev("entry-points", "command", "yt-dlp --version", True, 0.6, code=0, version="2026.10.26"),
        ev(
            "entry-points",
            "check",
            "output volume",
            True,
            0.7,
            path="music",
            writable=True,
            free_bytes=81_233_018_880,
        ),
        ev("related-items", "query", "Agent-Tasks", True, 0.9, open_tasks=0, pages_read=1),
        ev(
            "source",
            "check",
            "task URL",
            True,
            1.0,
            level="url",
            artist="Lost Frequencies",
            title="Where Are You Now",
        ),
        ev("dedup", "query", "Tracks database", True, 1.4, rows=0, key="isrc:BEHP42100067"),
        ev("dedup", "query", "library index", True, 1.5, rows=0, nearest_score=61.5),
        ev("download", "command", "decode to null", True, 8.9, code=0, seconds=148.32),
        *_tracks_files("music/Unassigned/Lost Frequencies - Where Are You Now"),
        ev(
            "tags",
            "check",
            "M4A",
            True,
            12.4,
            title="Where Are You Now",
            artist="Lost Frequencies",
            cover="600×600 jpeg",
        ),
        ev(
            "tags",
            "check",
            "AIFF",
            True,
            12.5,
            title="Where Are You Now",
            artist="Lost Frequencies",
            cover="600×600 jpeg",
        ),
        ev("tracks-row", "page", page, True, 13.6, property="Downloaded", wrote=True, read=True),
        ev(
            "library-delta", "delta", "music library", True, 13.9, before=2734, after=2738, added=4, removed=0
        ),
    ]
    steps = [
        ("preflight", 0.1, 0.8, 1, ""),
        ("resolve", 0.95, 0.4, 1, ""),
        ("dedup", 1.4, 0.2, 1, ""),
        ("download", 1.7, 7.2, 2, ""),
        ("transcode", 9.0, 2.6, 1, ""),
        ("tag", 11.7, 0.9, 1, ""),
        ("place", 12.7, 0.2, 1, ""),
        ("tracks-row", 12.95, 0.7, 1, ""),
        ("verify", 13.7, 0.3, 1, ""),
    ]
    return bundle(
        "music",
        "3",
        "Sync “Where Are You Now” by Lost Frequencies",
        MUSIC_GATES,
        evidence,
        steps,
        handler="music-sync",
        seconds=14.2,
        summary="“Where Are You Now” by Lost Frequencies: 4 files made, all from one decode.",
        previous=[13.1, 16.8, 12.4, 15.0, 14.4, 31.2, 13.3],
        data={
            "mode": "url",
            "phases": [
                {
                    "name": "Phase 0: Pre-Execution Intelligence Gathering",
                    "findings": [
                        {"title": "ffmpeg", "state": "ok", "text": "7.1"},
                        {"title": "Eagle", "state": "missing", "text": "does not answer on 127.0.0.1:41595"},
                    ],
                },
                {"name": "Phase 0.5: Detect & Resolve Source", "findings": []},
            ],
            "source": {
                "platform": "soundcloud",
                "codec": "aac",
                "kbit_s": 128,
                "seconds": 148.32,
                "lossy": True,
            },
            "dedup": {"call": "new", "why": "no match above 80", "score": 61.5},
            "track": {
                "artist": "Lost Frequencies",
                "title": "Where Are You Now",
                "isrc": "BEHP42100067",
                "seconds": 148.3,
            },
            "findings": [{"text": "The source is lossy (AAC 128 kbit/s): AIFF and WAV are labelled so"}],
        },
        follow_ups=[
            {
                "task": "5" * 32,
                "title": "Start Eagle, then import “Where Are You Now”",
                "key": "music-sync:eagle:isrc:BEHP42100067",
                "priority": "Medium",
                "handler": "music-sync",
                "created": True,
            }
        ],
        url="https://soundcloud.com/example/where-are-you-now",
    )


def music_partial() -> Bundle:
    """The reference's own disease as data: library totals, nothing new, nothing read back."""
    evidence = [
        ev("entry-points", "command", "ffmpeg -version", True, 0.2, code=0, version="7.1"),
        ev("source", "check", "spotify-now", True, 1.0, level="spotify-now", title="Where Are You Now"),
        ev("files", "delta", "AIFF", False, 29.0, before=2734, after=2734, added=0, removed=0),
        ev("tracks-row", "page", "4" * 32, False, 29.5, property="Downloaded", wrote=True, read=None),
    ]
    return bundle(
        "music",
        "6",
        "Sync what plays on Spotify",
        MUSIC_GATES,
        evidence,
        [("preflight", 0.1, 0.8, 1, ""), ("resolve", 1.0, 0.9, 1, ""), ("download", 2.0, 27.0, 1, "")],
        handler="music-sync",
        seconds=29.7,
        status="Review",
        summary="The track was detected; no file was made.",
        why="not proved: files (failed: failed for AIFF)",
        previous=[7.1, 6.8, 7.4],
    )


def _tracks_files(stem: str) -> list[Evidence]:
    rows = [
        ("M4A", "m4a", 2_402_117, "aa"),
        ("AIFF", "aiff", 26_163_954, "bb"),
        ("WAV", "wav", 26_164_210, "cc"),
    ]
    made = [
        file("files", name, f"{stem}.{ext}", size, 11.6, digest, seconds=148.32, lossy_source=True)
        for name, ext, size, digest in rows
    ]
    backup = stem.replace("music/", "music-backup/") + ".m4a"
    return [*made, file("files", "M4A backup", backup, 2_402_117, 12.9, "aa", seconds=148.32, role="backup")]
