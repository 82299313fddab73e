"""What a run measured, as evidence for its gates and as rows of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from daemon.sdk import Context, Done, Outcome
from handlers.music import download, identity_kept, place, verify
from handlers.music.model import Audio, Checked, Cover, Placement, Rendered, Track
from handlers.music.settings import EXTENSIONS, Settings
from handlers.music.sheet import Sheet


def subject(ctx: Context, text: str, of: str = "") -> str:
    """Evidence is kept once by its subject: a later attempt's must not hide behind the first's."""
    named = f"{text} of {of}" if of else text
    return named if ctx.run.attempt == 1 else f"{named} (attempt {ctx.run.attempt})"


def unwanted(settings: Settings) -> list[str]:
    """Gates of formats that the settings do not ask for."""
    return [f"files.{f}" for f in EXTENSIONS if f not in settings.formats]


def facts(item: dict[str, Any]) -> dict[str, Any]:
    """Tags as evidence."""
    return {k: v for k, v in item.items() if k != "problems"}


@dataclass(frozen=True, slots=True)
class Result:
    """All that the making of a track gave."""

    track: Track
    audio: Audio
    cover: Cover
    rendered: Rendered
    checked: tuple[Checked, ...]
    placed: Placement

    @property
    def copied(self) -> bool:
        """Whether the M4A is a stream copy."""
        return any(f.how == "copied" for f in self.rendered.files)


def prove(ctx: Context, made: Result, settings: Settings, sheet: Sheet) -> Outcome:
    """Read back what lies in the library now, and record all of it as evidence."""
    paths = tuple(f.path for f in made.placed.files)
    hashes = ctx.step("final", final_hashes, list(paths))
    tags = ctx.step("read back", verify.read_back, ctx, paths, made.track, bool(made.cover.path))
    checked = place.sources_of(made.checked, settings.formats)
    kept = True
    for item in made.placed.files:
        same = hashes.get(item.path) == item.sha256
        kept &= same
        check = replace(checked[item.format], path=item.path)
        file_evidence(ctx, sheet, item.format, item.path, check, made.audio.lossy, item.how, ok=same)
    durations(ctx, made.audio.seconds, checked)
    _same_audio(ctx, made)
    for found in tags:
        ctx.evidence("tags.read_back", "file", found["path"], not found["problems"], dict(found))
        other = identity_kept.identity_lost(found, made.track)
        data = {
            "wanted": identity_kept.identity_of(made.track),
            "found": {k: found[k] for k in identity_kept.IDENTITY},
            "other": other,
        }
        ctx.evidence("identity.kept", "check", found["path"], not other, data)
    placed = made.placed
    ctx.evidence(
        "placed.atomically",
        "delta",
        "folders",
        kept and len(placed.files) == len(settings.formats),
        {
            "before": placed.before,
            "after": placed.after,
            "new": sum(f.how == "new" for f in placed.files),
            "replaced": sum(f.how == "replaced" for f in placed.files),
            "suffix": placed.suffix,
        },
    )
    cover = made.cover
    if cover.path:
        ctx.evidence("cover.embedded", "file", "cover", True, asdict(cover) | {"path": ""})
    else:
        ctx.skip_gate("cover.embedded")
    _say_files(sheet, made)
    for gate in unwanted(settings):
        ctx.skip_gate(gate)
    if not made.copied and not {"wav", "aiff"} & set(settings.formats):
        ctx.skip_gate("files.same_audio")
    how = "copied without loss" if made.copied else "encoded once"
    return Done(
        summary=f"{made.track.artist} – {made.track.title}: {len(paths)} files from one decode, M4A {how}.",
        data=sheet.data(),
    )


def final_hashes(paths: list[str]) -> dict[str, str]:
    """Step: SHA-256 of each placed file, read again from where it lies. Missing files are left out."""
    return {p: download.sha256_of(Path(p)) for p in paths if Path(p).is_file()}


def file_evidence(
    ctx: Context,
    sheet: Sheet,
    kind: str,
    path: str,
    item: Checked,
    lossy: bool,
    how: str,
    *,
    ok: bool = True,
) -> None:
    """One file: a row of the report and a piece of evidence."""
    row = {
        "path": path,
        "format": kind,
        "codec": item.codec,
        "sha256": item.sha256,
        "bytes": item.bytes,
        "seconds": item.seconds,
        "samples": item.samples,
        "difference_s": item.difference_s,
        "lossy_source": lossy,
        "how": how,
    }
    sheet.files.append(row)
    ctx.evidence(
        f"files.{kind}", "file", path, ok and not item.problems, row | {"problems": list(item.problems)}
    )


def durations(ctx: Context, seconds: float, files: Mapping[str, Checked]) -> None:
    """Each file, by format, against the source: ± 50 ms."""
    for kind, item in files.items():
        near = abs(item.seconds - seconds) <= verify.TOLERANCE_S
        data = {"seconds": item.seconds, "source_s": seconds, "difference_s": item.difference_s}
        ctx.evidence("files.durations", "command", f"decode of {kind}", near, data)


def _same_audio(ctx: Context, made: Result) -> None:
    for item in made.checked:
        if item.format in ("wav", "aiff"):
            data = {"hash": item.pcm, "source": made.audio.pcm, "samples": item.samples}
            ctx.evidence(
                "files.same_audio", "command", f"samples of {item.format}", item.pcm == made.audio.pcm, data
            )
        if made.copied and item.format == "m4a":
            data = {"hash": item.packets, "source": made.audio.packets}
            same = item.packets == made.audio.packets
            ctx.evidence("files.same_audio", "command", "packets of m4a", same, data)


def _say_files(sheet: Sheet, made: Result) -> None:
    for item in sheet.files:
        sheet.find("1", f"{str(item['format']).upper()} file", f"{item['path']} ({item['how']})")
    sheet.find("1", "Cover", made.cover.note or f"{made.cover.width} × {made.cover.height} pixels", "ok")
    if made.audio.lossy:
        sheet.find(
            "1", "Quality label", "The source is lossy: AIFF and WAV carry no more information than the M4A."
        )
    delta = {k: made.placed.after[k] - made.placed.before[k] for k in made.placed.after}
    for folder, added in delta.items():
        state = "ok" if added or any(f.how != "new" for f in made.placed.files) else "warn"
        sheet.find("2", "Files added", f"{folder}: {added} new, {made.placed.after[folder]} there", state)
