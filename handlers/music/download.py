"""Download one track: starts the one-shot child, and turns what it says into a result or a typed error."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from daemon.sdk import (
    BlockedError,
    ChildResult,
    Context,
    HandoffdError,
    PermanentError,
    TransientError,
    Unreachable,
)
from handlers.music import urls
from handlers.music.model import Fetched, Source
from handlers.music.settings import Settings

CHILD = Path(__file__).with_name("children") / "download.py"
MEMORY = 1536 << 20
"""Address space of the child, bytes (research/music.md §7.1). A JavaScript engine reserves tens of gigabytes
of it without using them, so YouTube downloads, which need one, go without this limit."""
MIN_BYTES = 256
"""Nothing that plays is smaller."""


def fetch(ctx: Context, source: Source, settings: Settings, folder: Path) -> Fetched:
    """Step: the track's file, alone in ``folder``, which is emptied first: a stale part is never continued.

    Raises PermanentError (not there, not audio, too large), BlockedError (a person must allow or free
    something), TransientError (network, rate limit, too slow).
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    extractors = [*settings.extractors, *(["generic", "html5"] if source.direct else [])]
    order = {
        "url": source.url,
        "folder": str(folder),
        "allow": list(settings.allow_hosts),
        "extractors": extractors,
        "max_bytes": settings.max_bytes,
        "max_seconds": settings.max_seconds,
    }
    said: list[dict[str, Any]] = []

    def on_line(line: str) -> None:
        event = _event(line)
        if event.get("event") == "progress":
            ctx.progress(event["done"], max(event["done"], event["total"]), "downloading")
        elif event:
            said.append(event)

    result = ctx.child(
        [sys.executable, "-I", str(CHILD)],
        stdin=json.dumps(order).encode(),
        timeout=settings.download_timeout,
        silence=settings.silence_timeout,
        env={"YTDLP_NO_PLUGINS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        on_line=on_line,
        max_file=settings.max_bytes + (1 << 20),
        max_memory=None if source.platform == "youtube" else MEMORY,
    )
    done = next((e for e in said if e.get("event") == "done"), None)
    if result.ok and done is not None:
        return _fetched(done, result, folder)
    error = next((e for e in said if e.get("event") == "error"), None)
    raise failure(error, result, source, settings)


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _fetched(done: dict[str, Any], result: ChildResult, folder: Path) -> Fetched:
    path = Path(done["path"])
    if path.parent != folder or path.is_symlink():
        raise PermanentError("the download did not stay in its folder")
    size = path.stat().st_size
    if size < MIN_BYTES:
        raise PermanentError(f"not audio: the source gave {size} bytes")
    return Fetched(
        path=str(path),
        bytes=size,
        sha256=sha256_of(path),
        info=done["info"],
        cover=done["cover"],
        url=urls.shown(done["url"]),
        wall_s=result.wall_s,
        cpu_s=result.cpu_s,
    )


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def failure(
    error: dict[str, Any] | None, result: ChildResult, source: Source, settings: Settings
) -> HandoffdError:
    """The typed error for what the child said, or for how it ended when it could not say anything."""
    if error is not None:
        return _said(error, source, settings)
    if result.ended in ("timeout", "silence"):
        limit = settings.download_timeout if result.ended == "timeout" else settings.silence_timeout
        said = result.why or f"after {limit:.0f} s"
        return TransientError(f"the download from {source.host} was stopped: {result.ended}, {said}")
    tail = " ".join(result.stderr.split())[-300:]
    return TransientError(f"the download process ended with code {result.returncode}: {tail or 'no message'}")


def _said(error: dict[str, Any], source: Source, settings: Settings) -> HandoffdError:
    kind, host = str(error.get("kind", "other")), source.host
    message = " ".join(str(error.get("message", "")).split())[:300]
    if kind == "http":
        return _http(int(error.get("status") or 0), error.get("retry_after"), host)
    if kind == "network":
        return Unreachable(f"{host} could not be reached, or the transfer broke off: {message}")
    make, text, hint = KINDS.get(kind, (TransientError, "the download failed: {message}", ""))
    values = {"host": host, "message": message, "limit": settings.max_bytes, "seconds": settings.max_seconds}
    return make(text.format(**values), hint=hint.format(**values))


KINDS: dict[str, tuple[type[HandoffdError], str, str]] = {
    "guard": (
        BlockedError,
        "the network guard stopped the download: {message}",
        "if that address is yours and meant, add it to music.allow_hosts; else correct URL",
    ),
    "live": (PermanentError, "{message}: there is no end to download", "use the URL of a recording"),
    "too_long": (PermanentError, "{message}, and music.max_seconds is {seconds:.0f}", "raise the limit"),
    "too_large": (
        PermanentError,
        "larger than music.max_bytes ({limit}): {message}",
        "raise the limit if such a file is meant",
    ),
    "slow": (TransientError, "{host} sends too slowly: {message}", ""),
    "playlist": (PermanentError, "not a single track: {message}", "use mode = playlist, or a track's URL"),
    "no_file": (PermanentError, "nothing to download at {host}: {message}", "check the URL in a browser"),
    "disk_full": (BlockedError, "no space left while downloading", "free space on the work folder's disk"),
    "geo": (PermanentError, "{host} does not serve this country: {message}", "use another source"),
    "drm": (PermanentError, "protected by DRM, which is never circumvented", "use another source"),
    "extractor": (
        BlockedError,
        "{host}: no allowed extractor takes this address",
        "add the host to music.allow_hosts, or the extractor to music.extractors",
    ),
    "unsupported": (
        PermanentError,
        "not audio: the page at {host} holds nothing that yt-dlp can download",
        "use the address of a track or an audio file",
    ),
    "no_audio": (PermanentError, "not audio: {host} offers no audio format", "use another source"),
    "unavailable": (PermanentError, "{host} does not give it out: {message}", "use another source"),
}
"""Kind of error line → error, message, hint. What is not here is taken for a passing fault."""


def _http(status: int, retry_after: object, host: str) -> HandoffdError:
    if status in (404, 410):
        word = "Not Found" if status == 404 else "Gone"
        return PermanentError(f"{host} answers {status} {word}: the track is not there", hint="correct URL")
    if status in (401, 402, 403, 407, 451):
        return PermanentError(
            f"{host} answers {status}: it does not give the track out", hint="use another source"
        )
    named = float(str(retry_after)) if str(retry_after).isdecimal() else None
    if status == 429 or status >= 500 or status == 416:
        return TransientError(f"{host} answers {status}", retry_after=named)
    return PermanentError(f"{host} answers {status}", hint="check the URL in a browser")
