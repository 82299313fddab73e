"""A track that the library has already: its files looked at again, and proved again, without a download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.sdk import Context, Done, Outcome
from handlers.music import proof, urls, verify
from handlers.music.library import Known, Match
from handlers.music.model import Checked, Source, Tool, Track
from handlers.music.sheet import Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Files of a track that the library has, checked now. ``missing``: formats whose file is not there."""

    files: tuple[Checked, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """The whole set is there and right."""
        return not self.missing and not self.problems


def standing(ctx: Context, tool: Tool, known: Known, formats: Sequence[str]) -> Standing:
    """Step: the files that the index names for a track, each decoded from end to end now."""
    missing = tuple(f for f in formats if not Path(known.files.get(f, "/nonexistent")).is_file())
    files = tuple(
        verify.check_file(ctx, tool, f, known.files[f], known.duration_s) for f in formats if f not in missing
    )
    problems = tuple(f"{c.format}: {p}" for c in files for p in c.problems)
    return Standing(files=files, missing=missing, problems=problems)


NOT_DONE_AGAIN = (
    "download.decodes",
    "files.same_audio",
    "placed.atomically",
    "cover.embedded",
    "analysis",
)
"""Gates that do not apply to a track that the library has already."""


def already(ctx: Context, tool: Tool, match: Match, why: str, source: Source, sheet: Sheet) -> Outcome | None:
    """Done without a download, when the library's set of this track is whole; None when it is not."""
    settings, known = ctx.settings, match.known
    found = ctx.step("standing", standing, ctx, tool, known, settings.formats)
    if not found.complete:
        what = "; ".join([*(f"{m} is missing" for m in found.missing), *found.problems])
        sheet.find("0.5", "In the library already", f"but incomplete, so it is made again: {what}", "warn")
        return None
    tags = ctx.step("read back", tags_of, ctx, [c.path for c in found.files])
    sheet.find("0.5", "In the library already", why)
    sheet.track = {
        "id": known.id,
        "artist": known.artist,
        "title": known.title,
        "duration_s": known.duration_s,
        "album": known.album,
        "isrc": known.isrc,
        "url": known.url,
    }
    sheet.dedup = sheet.dedup or {"call": "same", "why": why, "level": match.level, "score": match.score}
    lossy = {t["path"]: t["lossy_source"] for t in tags}
    for item in found.files:
        proof.file_evidence(ctx, sheet, item.format, item.path, item, lossy.get(item.path, True), "there")
    proof.durations(ctx, known.duration_s, {c.format: c for c in found.files})
    for tag in tags:
        ctx.evidence("tags.read_back", "file", tag["path"], tag["track"] == known.id, proof.facts(tag))
        ctx.evidence(
            "identity.kept",
            "check",
            tag["path"],
            tag["track"] == known.id,
            {"track": tag["track"], "wanted": known.id},
        )
    ctx.evidence(
        "source.resolved",
        "query",
        proof.subject(ctx, source.key),
        True,
        {"url": urls.shown(source.url), "known_as": known.id},
    )
    ctx.evidence("dedup.checked", "query", "known", True, dict(sheet.dedup))
    for gate in (*NOT_DONE_AGAIN, *proof.unwanted(settings)):
        ctx.skip_gate(gate)
    summary = (
        f"{known.artist} – {known.title} is in the library already ({why}); its files were checked again."
    )
    return Done(summary=summary, data=sheet.data())


def tags_of(ctx: Context, paths: list[str]) -> list[dict[str, Any]]:
    """Step: tags of files of the library."""
    nobody = Track(
        id="",
        key="",
        artist="",
        title="",
        version="",
        album="",
        date="",
        genre="",
        isrc="",
        playlist="",
        url="",
        duration_s=0.0,
    )
    return verify.read_back(ctx, tuple(paths), nobody, cover=False)
