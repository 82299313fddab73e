"""One-shot process: fetch one track by yt-dlp into an empty folder, under the network guard.

Run by path with ``python -I``. Reads one JSON order on stdin, writes JSON lines on stdout, everything else on
stderr, and exits 0 when a file is there. Nothing of the user's yt-dlp set-up is read: no configuration, no
plugins, no cookies, no netrc, no post-processors, no external downloaders.

Order: ``url``, ``folder`` (empty, ours), ``allow`` (hosts, CIDR), ``extractors`` (regular expressions),
``max_bytes``, ``max_seconds``. Lines: ``{"event": "progress" | "done" | "error", …}``; an error has a
``kind`` of ``KINDS`` in handlers/music/download.py.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

SEARCH_PATH = str(Path(__file__).resolve().parents[3])
"""Where our packages are: ``-I`` takes the working directory off the path, and this file is run by path."""

MAX_COVER = 5 << 20
"""Bytes of a thumbnail; a larger one is left out (reliability.md T51)."""
MIN_RATE = 2048
RATE_WINDOW_S = 30.0
"""Slower than MIN_RATE bytes/s over this long: a drip that a socket timeout never notices (T45)."""
FORMAT = "bestaudio[acodec^=mp4a]/bestaudio[ext=m4a]/bestaudio/best"
"""AAC first: it is copied, not encoded (research/music.md §0.1). ``best``: pages with muxed files only."""
TEXTS = (
    "id",
    "title",
    "track",
    "artist",
    "album",
    "album_artist",
    "creator",
    "uploader",
    "channel",
    "genre",
    "release_date",
    "upload_date",
    "extractor",
    "extractor_key",
    "webpage_url",
    "format_id",
    "acodec",
    "ext",
    "isrc",
    "live_status",
    "availability",
)
NUMBERS = ("duration", "abr", "asr", "filesize", "release_year")
NETWORK = frozenset(
    ("TransportError", "IncompleteRead", "SSLError", "ProxyError", "ContentTooShortError", "TimeoutError")
)
"""Exception classes, by name, of a network that fails; yt-dlp wraps the sockets' own in TransportError."""
LISTS = ("artists", "genres", "creators")


class Stop(Exception):
    """We end the download ourselves; ``kind`` and the message go into the error line."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Quiet:
    """yt-dlp's logger: what matters of it is in the exceptions, the rest is kept on stderr."""

    def debug(self, message: str) -> None:
        """Progress of yt-dlp's own; not needed."""

    def info(self, message: str) -> None:
        """Same as debug."""

    def warning(self, message: str) -> None:
        """Shown when the child fails."""
        sys.stderr.write(f"warning: {message[:500]}\n")

    def error(self, message: str) -> None:
        """Shown when the child fails."""
        sys.stderr.write(f"error: {message[:500]}\n")


class Fetch:
    """One order carried out."""

    def __init__(self, order: dict[str, Any], out: Any, guard: Any) -> None:
        self._order = order
        self._out = out
        self._guard = guard
        self._said = 0.0
        self._window = (time.monotonic(), 0)
        self._stopped: Stop | None = None

    def say(self, event: str, **fields: Any) -> None:
        """One JSON line."""
        self._out.write(json.dumps({"event": event, **fields}) + "\n")
        self._out.flush()

    def options(self) -> dict[str, Any]:
        """Every option that matters, literally; nothing is taken from a file or the page."""
        runtimes: dict[str, dict[str, str]] = {
            name: {} for name in ("deno", "node", "quickjs", "bun") if shutil.which(name)
        }
        return {
            "quiet": True,
            "no_warnings": False,
            "noprogress": True,
            "logger": Quiet(),
            "progress_hooks": [self.on_progress],
            "match_filter": self.on_match,
            "format": FORMAT,
            "outtmpl": {"default": str(Path(self._order["folder"]) / "audio.%(ext)s")},
            "allowed_extractors": list(self._order["extractors"]),
            "noplaylist": True,
            "playlist_items": "1",
            "max_filesize": self._order["max_bytes"],
            "socket_timeout": 20,
            "retries": 2,
            "fragment_retries": 3,
            "extractor_retries": 1,
            "file_access_retries": 1,
            "retry_sleep_functions": {"http": lambda n: min(2.0**n, 8.0)},
            "skip_unavailable_fragments": False,
            "continuedl": False,
            "overwrites": True,
            "cachedir": str(Path(self._order["folder"]) / ".cache"),
            "fixup": "never",
            "postprocessors": [],
            "hls_prefer_native": True,
            "external_downloader": {"default": "native"},
            "enable_file_urls": False,
            "allow_unplayable_formats": False,
            "usenetrc": False,
            "cookiefile": None,
            "proxy": "",
            "geo_bypass": False,
            "updatetime": False,
            "writethumbnail": False,
            "js_runtimes": runtimes,
            "remote_components": [],
            "color": "never",
        }

    def on_match(self, info: dict[str, Any], *, incomplete: bool = False) -> str | None:
        """Refuse what is no single track, before any byte of it."""
        if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
            return self._stop("live", "it is a live stream")
        duration = info.get("duration")
        if isinstance(duration, int | float) and duration > self._order["max_seconds"]:
            return self._stop("too_long", f"it lasts {duration:.0f} s")
        return None

    def _stop(self, kind: str, message: str) -> str:
        self._stopped = Stop(kind, message)
        return message

    def on_progress(self, state: dict[str, Any]) -> None:
        """Progress lines, four a second at most; ends a download that is too large or too slow."""
        done = int(state.get("downloaded_bytes") or 0)
        total = int(state.get("total_bytes") or state.get("total_bytes_estimate") or 0)
        if done > self._order["max_bytes"]:
            raise self._given_up("too_large", f"more than {self._order['max_bytes']} bytes came")
        now = time.monotonic()
        since, had = self._window
        if now - since >= RATE_WINDOW_S:
            if state.get("status") == "downloading" and done - had < MIN_RATE * RATE_WINDOW_S:
                raise self._given_up("slow", f"{done - had} bytes in {now - since:.0f} s")
            self._window = (now, done)
        if now - self._said >= 0.25 or state.get("status") == "finished":
            self._said = now
            self.say("progress", done=done, total=total)

    def _given_up(self, kind: str, message: str) -> Exception:
        from yt_dlp.utils import DownloadCancelled

        self._stop(kind, message)
        cancelled: Exception = DownloadCancelled(message)
        return cancelled

    def run(self) -> int:
        """Exit code: 0 a file is there, 1 it is not and the error line says why."""
        from yt_dlp import YoutubeDL

        try:
            with YoutubeDL(self.options()) as ydl:
                info = ydl.extract_info(self._order["url"], download=True)
                self._done(ydl, info or {})
        # Extractors run on whatever a site sends and raise anything; each becomes an error line with a kind.
        except Exception as error:  # noqa: BLE001
            self.say("error", **self.classify(error))
            return 1
        return 0

    def _done(self, ydl: Any, info: dict[str, Any]) -> None:
        if info.get("_type") in ("playlist", "multi_video"):
            entries = [e for e in info.get("entries") or [] if e]
            if len(entries) != 1:
                raise self._stopped or Stop("playlist", f"it holds {len(entries)} tracks, not one")
            info = entries[0]
        wrote = [d for d in info.get("requested_downloads") or [] if d.get("filepath")]
        path = Path(wrote[0]["filepath"]) if wrote else None
        if path is None or not path.is_file() or path.stat().st_size == 0:
            # yt-dlp calls a refusal by size or filter a success (research/music.md §4.2).
            raise self._stopped or Stop("no_file", "yt-dlp reported success, but there is no file")
        self.say(
            "done",
            path=str(path),
            url=str(wrote[0].get("url") or info.get("url") or "")[:2048],
            info=trimmed(info),
            cover=self._cover(ydl, info),
        )

    def _cover(self, ydl: Any, info: dict[str, Any]) -> str:
        """The best thumbnail, as it comes; checked and re-encoded later. A missing one fails nothing."""
        found = [t for t in info.get("thumbnails") or [] if isinstance(t, dict) and t.get("url")]
        plain = [t for t in found if str(t["url"]).split("?")[0].lower().endswith((".jpg", ".jpeg", ".png"))]
        for thumbnail in list(reversed(plain or found))[:3]:
            try:
                with contextlib.closing(ydl.urlopen(str(thumbnail["url"]))) as answer:
                    data = answer.read(MAX_COVER + 1)
            except Exception as error:  # noqa: BLE001 - a cover is optional whatever goes wrong with it
                sys.stderr.write(f"cover: {error}\n")
                continue
            if 0 < len(data) <= MAX_COVER:
                path = Path(self._order["folder"]) / "cover.bin"
                path.write_bytes(data)
                return str(path)
        return ""

    def classify(self, error: BaseException) -> dict[str, Any]:
        """Kind, message, HTTP status and Retry-After of what went wrong."""
        if self._guard.refused:
            return {"kind": "guard", "message": self._guard.refused[0]}
        if self._stopped is not None:
            return {"kind": self._stopped.kind, "message": str(self._stopped)}
        if isinstance(error, Stop):
            return {"kind": error.kind, "message": str(error)}
        chain = causes(error)
        names = {type(e).__name__ for e in chain}
        text = str(error).removeprefix("ERROR: ")[:600]
        found: dict[str, Any] = {"kind": "other", "message": text}
        for item in chain:
            number = getattr(item, "errno", None)
            if isinstance(item, OSError) and number in (errno.ENOSPC, errno.EDQUOT):
                return {"kind": "disk_full", "message": text}
            if isinstance(item, OSError) and number == errno.EFBIG:
                return {"kind": "too_large", "message": "the file grew beyond the limit"}
        http = next((e for e in chain if type(e).__name__ == "HTTPError"), None)
        if http is not None:
            headers = getattr(getattr(http, "response", None), "headers", None) or {}
            found |= {
                "kind": "http",
                "status": int(getattr(http, "status", 0) or 0),
                "retry_after": headers.get("Retry-After"),
            }
        elif "GeoRestrictedError" in names:
            found["kind"] = "geo"
        elif "DRM" in text:
            found["kind"] = "drm"
        elif "No suitable extractor" in text:
            found["kind"] = "extractor"
        elif "UnsupportedError" in names:
            found["kind"] = "unsupported"
        elif names & NETWORK:
            found["kind"] = "network"
        elif "Requested format is not available" in text or "No video formats" in text:
            found["kind"] = "no_audio"
        elif any(w in text for w in ("Private video", "members-only", "Sign in", "login", "unavailable")):
            found["kind"] = "unavailable"
        return found


def causes(error: BaseException) -> list[BaseException]:
    """The exception and all it was made of: yt-dlp keeps causes in three places."""
    out: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue and len(out) < 20:
        item = queue.pop(0)
        if item is None or item in out:
            continue
        out.append(item)
        info = getattr(item, "exc_info", None)
        queue += [
            info[1] if isinstance(info, tuple) and len(info) > 1 else None,
            getattr(item, "cause", None) if isinstance(getattr(item, "cause", None), BaseException) else None,
            item.__cause__,
            item.__context__,
        ]
    return out


def trimmed(info: dict[str, Any]) -> dict[str, Any]:
    """What is used of yt-dlp's info dictionary, bounded: it is text from a stranger."""
    out: dict[str, Any] = {k: str(info[k])[:500] for k in TEXTS if info.get(k)}
    out |= {k: info[k] for k in NUMBERS if isinstance(info.get(k), int | float)}
    for key in LISTS:
        if isinstance(info.get(key), list):
            out[key] = [str(v)[:200] for v in info[key][:20]]
    out["direct"] = bool(info.get("direct"))
    return out


def main() -> int:
    """Read the order, raise the guard, fetch."""
    order = json.loads(sys.stdin.read())
    os.environ["YTDLP_NO_PLUGINS"] = "1"
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not look like one of our lines
    sys.path.append(SEARCH_PATH)
    from handlers.music import netguard

    guard = netguard.install(order["allow"])
    return Fetch(order, out, guard).run()


if __name__ == "__main__":
    sys.exit(main())
