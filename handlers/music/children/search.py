"""One-shot process: lists, not files: search hits, likes, playlists, by yt-dlp under the network guard.

Order: ``{"queries": [{"platform", "target"}], "limit", "allow", "extractors"}``; ``target`` is a URL, or
``ytsearch10:words``, or for platform ``catalogue`` the URL of a JSON list ``[{"url", "title", "artist",
"duration", "isrc"}]``. Answer: ``{"hits": […], "failed": {platform: reason}}``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

SEARCH_PATH = str(Path(__file__).resolve().parents[3])
MAX_CATALOGUE = 4 << 20


def flat(order: dict[str, Any], platform: str, target: str) -> list[dict[str, Any]]:
    """The entries of a list without opening any of them."""
    from yt_dlp import YoutubeDL

    options = {
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "extract_flat": "in_playlist",
        "playlistend": order["limit"],
        "allowed_extractors": order["extractors"],
        "socket_timeout": 20,
        "extractor_retries": 1,
        "cachedir": False,
        "enable_file_urls": False,
        "proxy": "",
        "usenetrc": False,
        "cookiefile": None,
        "remote_components": [],
        "color": "never",
    }
    with YoutubeDL(options) as ydl:
        info = ydl.extract_info(target, download=False) or {}
    entries = [e for e in info.get("entries") or [] if isinstance(e, dict)]
    out = []
    for entry in entries[: order["limit"]]:
        artist = str(entry.get("artist") or entry.get("channel") or entry.get("uploader") or "")
        out.append(
            {
                "platform": platform,
                "url": str(entry.get("webpage_url") or entry.get("url") or "")[:2048],
                "title": str(entry.get("title") or "")[:300],
                "artist": artist[:200],
                "duration_s": entry["duration"] if isinstance(entry.get("duration"), int | float) else None,
                "official": artist.endswith(" - Topic") or bool(entry.get("channel_is_verified")),
                "isrc": "",
                "list": str(info.get("title") or "")[:200],
            }
        )
    return [hit for hit in out if hit["url"]]


def catalogue(order: dict[str, Any], target: str) -> list[dict[str, Any]]:
    """A catalogue of the user's own: one GET, a JSON list, bounded."""
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(target, timeout=20) as response:
        rows = json.loads(response.read(MAX_CATALOGUE))
    return [
        {
            "platform": "catalogue",
            "url": str(row.get("url") or "")[:2048],
            "title": str(row.get("title") or "")[:300],
            "artist": str(row.get("artist") or "")[:200],
            "duration_s": row["duration"] if isinstance(row.get("duration"), int | float) else None,
            "official": bool(row.get("official")),
            "isrc": str(row.get("isrc") or "")[:20],
            "list": "",
        }
        for row in rows[: order["limit"]]
        if isinstance(row, dict) and row.get("url")
    ]


def main() -> int:
    """One order, one answer; a platform that fails does not hold back the others."""
    order = json.loads(sys.stdin.read())
    os.environ["YTDLP_NO_PLUGINS"] = "1"
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.append(SEARCH_PATH)
    from handlers.music import netguard

    guard = netguard.install(order["allow"])
    hits: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for query in order["queries"]:
        platform, target = query["platform"], query["target"]
        try:
            hits += catalogue(order, target) if platform == "catalogue" else flat(order, platform, target)
        # Sites send anything; what one of them breaks is that platform's miss.
        except Exception as error:  # noqa: BLE001
            text = guard.refused[-1] if guard.refused else str(error).removeprefix("ERROR: ")
            failed[platform] = " ".join(text.split())[:300]
    json.dump({"hits": hits, "failed": failed}, out)
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
