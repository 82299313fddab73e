"""Mode ``reject``: a person says that an address is not the track that was wanted. It is never taken for that
track again, and the track may be picked anew. Files are left where they are: they are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from daemon.sdk import Context, Done, HandoffdError, Outcome, PermanentError
from handlers.music import flow_many, urls
from handlers.music.library import Library
from handlers.music.settings import Params, Settings
from handlers.music.sheet import Sheet

GATE = "match.rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """What the index holds afterwards. ``files``: what the library has made from that address."""

    ruled_out: tuple[str, ...]
    left_out: str
    files: tuple[str, ...]


def run(params: Params, ctx: Context, sheet: Sheet) -> Outcome:
    """Needs ``track`` (a Spotify address or id, an address, or a strong key) and ``url``, or ``forget``."""
    settings: Settings = ctx.settings
    sheet.stage = GATE
    if not params.track or bool(params.url) == params.forget:
        raise PermanentError(
            "reject needs a track, and either the wrong address or forget",
            hint='Parameters: track = "…" and url = "…"; or track = "…" and forget = true',
        )
    key = key_of(params.track, settings)
    index = settings.index_file(ctx.home)
    found = ctx.step("reject", reject, index, key, spellings(params.url, settings), params.forget)
    wanted = set(spellings(params.url, settings))
    ok = not found.left_out and (not found.ruled_out if params.forget else wanted <= set(found.ruled_out))
    data = {"track": key, "ruled_out": list(found.ruled_out), "left_out": found.left_out}
    ctx.evidence(GATE, "query", key, ok, data)
    for path in found.files:
        sheet.find("1", "Made from that address", path, "warn")
    more = f" {len(found.files)} file(s) made from it are still in the library." if found.files else ""
    said = "nothing is ruled out for it any more" if params.forget else f"{len(found.ruled_out)} ruled out"
    sheet.find("1", "Rejected", f"{key}: {said}")
    return Done(summary=f"{key}: {said}; it may be picked again.{more}", data=sheet.data())


def key_of(text: str, settings: Settings) -> str:
    """The strong key that a person means. Raises PermanentError when it is none."""
    spotify = flow_many.spotify_track(text)
    if spotify:
        return f"spotify:{spotify}"
    if text.startswith(("http://", "https://")):
        return urls.parse(text, settings.allow_hosts).key
    kind, colon, rest = text.strip().partition(":")
    if not colon or kind not in ("spotify", "soundcloud", "youtube", "url", "isrc", "row") or not rest:
        raise PermanentError(f"{text[:80]} names no track", hint="give its address, or its key of the report")
    return text.strip()


def spellings(url: str, settings: Settings) -> list[str]:
    """An address as it was given and in its one form."""
    if not url:
        return []
    try:
        return list(dict.fromkeys((url.strip(), urls.parse(url, settings.allow_hosts).url)))
    except HandoffdError:
        return [url.strip()]


def reject(index: Path, key: str, addresses: list[str], forget: bool) -> Rejected:
    """Step: write it down, read it back."""
    with Library(index) as library:
        if forget:
            library.forgive(key)
        for address in addresses:
            library.rule_out(key, address)
        library.readmit(key)
        known = [k for k in library.tracks() if k.url in addresses] if addresses else []
        return Rejected(
            ruled_out=tuple(library.ruled_out(key)),
            left_out=library.rejection(key),
            files=tuple(p for k in known for p in k.files.values()),
        )
