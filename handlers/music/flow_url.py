"""Mode ``url``: one address → the track's four files in the library, proved.

preflight → source → known already? → download → measure → duplicate? → cover → render and tag → check → place
→ record → read back. Each is a durable step that looks, then acts; what they measured becomes evidence here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from daemon.sdk import (
    Context,
    NeedsReview,
    Outcome,
    PermanentError,
    TransientError,
)
from handlers.music import (
    analysis,
    background,
    covers,
    dedup,
    download,
    flow_tracks,
    identity,
    identity_kept,
    measure,
    place,
    preflight,
    proof,
    render,
    sound,
    standing,
    urls,
    verify,
)
from handlers.music.library import Library, Match
from handlers.music.model import (
    Audio,
    Fetched,
    Placement,
    Source,
    Tool,
    Track,
)
from handlers.music.settings import Params, Settings
from handlers.music.sheet import Sheet
from handlers.music.sources import Detected


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What the index knows (``match`` None = nothing), and by which of the strong keys."""

    match: Match | None
    key: str = ""


def run(url: str, params: Params, ctx: Context, sheet: Sheet) -> Outcome:
    """The whole mode. Errors leave as they are; the caller turns them into an outcome with the sheet."""
    ready = prepare(ctx, sheet)
    return obtain(ctx, ready.tool, url, params, sheet)


def prepare(ctx: Context, sheet: Sheet) -> preflight.Ready:
    """Phase 0: tools and folders."""
    ready = ctx.step("preflight", preflight.look, ctx.settings, ctx.home, ctx.workdir)
    sheet.found("0", ready.findings)
    flow_tracks.prepare(ctx, sheet)
    background.say(ctx, sheet)
    data = {"free": ready.free, "ffmpeg": ready.tool.version}
    ctx.evidence("preflight.tools", "check", "tools and folders", True, data)
    return ready


def obtain(
    ctx: Context, tool: Tool, url: str, params: Params, sheet: Sheet, detected: Detected | None = None
) -> Outcome:
    """From an address to the files in the library. ``detected``: what a level of the chain named; what comes
    must be that, and carries its identity."""
    settings: Settings = ctx.settings
    sheet.stage = "source.resolved"
    source = ctx.step("source", urls.parse, url, settings.allow_hosts)
    sheet.set_source(source)
    sheet.find("0.5", "Source", f"{source.platform}: {urls.shown(source.url)}")
    keys = [*([detected.key] if detected else []), source.key]
    sheet.keys = keys
    known = ctx.step("lookup", look_up, settings.index_file(ctx.home), keys)
    if known.match is not None:
        told, by_address = known.match.known, detected if known.key == source.key else None
        warned = identity_kept.same_recording(source, by_address, told.artist, told.title, told.duration_s)
        sheet.found("0.5", warned)
        done = standing.already(ctx, tool, known.match, known.match.why, source, sheet)
        if done is not None:
            return done
    return _make(ctx, tool, source, params, sheet, detected)


def _make(
    ctx: Context, tool: Tool, source: Source, params: Params, sheet: Sheet, detected: Detected | None
) -> Outcome:
    settings: Settings = ctx.settings
    folder = ctx.workdir / f"attempt-{ctx.run.attempt}"
    mono = folder / "mono.pcm"
    got = ctx.step("download", download.fetch, ctx, source, settings, folder / "source")
    sheet.spent(got.cpu_s, got.wall_s)
    sheet.stage = "download.decodes"
    audio = ctx.step("measure", measured, ctx, tool, got, settings, mono)
    track = identity.track_of(source, got.info, audio, params)
    if detected is not None:
        track = identity_kept.identified(track, detected, params)
        said = identity.track_of(source, got.info, audio, Params())
        warned = identity_kept.same_recording(source, detected, said.artist, said.title, audio.seconds)
        sheet.found("0.5", warned)
    sheet.set_source(source, audio)
    sheet.set_track(track)
    sheet.spent(audio.cpu_s)
    _say_source(ctx, tool, sheet, source, got, audio, track)
    sheet.stage = "dedup.checked"
    ruling, match = _dedup(ctx, tool, track, audio, got, params, settings, folder, sheet)
    if match is not None and ruling.call == "same":
        done = standing.already(ctx, tool, match, ruling.why, source, sheet)
        if done is not None:
            return done
        # The set is broken: this run makes it again, under the identity that the library knows.
        track = replace(track, id=match.known.id)
    if ruling.call == "review":
        return NeedsReview(
            reason=f"it may be a duplicate: {ruling.why}",
            summary="Nothing was added. Set `duplicates = keep` in Parameters to keep both.",
            data=sheet.data(),
        )
    track = _heard(ctx, track, audio, detected, mono, settings, sheet)
    sheet.stage = "files.m4a"
    cover = ctx.step(
        "cover",
        covers.make_cover,
        ctx,
        tool,
        got.cover,
        audio,
        got.path,
        folder / "cover",
        settings.cover_pixels,
    )
    rendered = ctx.step(
        "render", render.render, ctx, tool, got.path, audio, track, cover, folder / "out", settings
    )
    sheet.spent(rendered.cpu_s, rendered.wall_s)
    checked = ctx.step("check", verify.check_rendered, ctx, tool, rendered, audio)
    sheet.spent(sum(c.cpu_s for c in checked))
    sheet.stage = "placed.atomically"
    placed = ctx.step("place", place.place, ctx, checked, track, settings, ctx.home)
    ctx.step("record", _record, settings.index_file(ctx.home), track, audio, placed, [source.key])
    return proof.prove(ctx, proof.Result(track, audio, cover, rendered, checked, placed), settings, sheet)


def look_up(index: Path, keys: list[str]) -> Lookup:
    """Step: by strong ids, before anything is downloaded."""
    with Library.looking(index) as library:
        found = ((key, library.exact([key])) for key in keys)
        key, match = next((f for f in found if f[1] is not None), ("", None))
    return Lookup(match=match, key=key)


def _heard(
    ctx: Context,
    track: Track,
    audio: Audio,
    detected: Detected | None,
    mono: Path,
    settings: Settings,
    sheet: Sheet,
) -> Track:
    """The track with its tempo and key, or with why it has none."""
    row = {"tempo": detected.tempo, "tonality": detected.tonality} if detected else {}
    found = ctx.step("analysis", analysis.hear, ctx, str(mono), analysis.told(audio.tags, row), settings)
    mono.unlink(missing_ok=True)  # not in the step: begun again, it would lack its samples
    sheet.spent(found.cpu_s)
    sheet.find("1", "Tempo", found.tempo.line(" BPM"))
    sheet.find("1", "Key", found.tonality.line())
    sheet.extra["analysis"] = {"tempo": asdict(found.tempo), "key": asdict(found.tonality)}
    if analysis.wanted(settings) or found.tempo.value or found.tonality.value:
        data = {"tempo": found.tempo.line(" BPM"), "key": found.tonality.line()}
        ctx.evidence("analysis", "command", proof.subject(ctx, "tempo and key", track.key), True, data)
    else:
        ctx.skip_gate("analysis")
    made = replace(track, tempo=found.tempo, tonality=found.tonality)
    sheet.set_track(made)
    return made


def measured(ctx: Context, tool: Tool, got: Fetched, settings: Settings, mono: Path) -> Audio:
    """Step: the download decoded from end to end, and its length held against what the platform said.

    Loudness and fingerprint come from the same decode. Where tempo and key will be measured, it leaves their
    samples at ``mono``.

    Raises PermanentError for what is no audio, damaged, a preview or too long.
    """
    if not Path(got.path).is_file():
        raise TransientError("the download is not in the work folder any more; it is made again")
    tap = mono if analysis.wanted(settings) else None
    audio = measure.measure(ctx, tool, got.path, settings.replaygain, tap, mono.with_name("sound.fp"))
    if audio.seconds > settings.max_seconds:
        raise PermanentError(
            f"it lasts {audio.seconds:.0f} s, and music.max_seconds is {settings.max_seconds:.0f}"
        )
    said = got.info.get("duration")
    if isinstance(said, int | float) and said > 0 and audio.seconds < 0.9 * said - 1:
        raise PermanentError(
            f"only {audio.seconds:.0f} s of {said:.0f} s came: a preview, or a truncated file",
            hint="use another source",
        )
    return audio


def _say_source(
    ctx: Context, tool: Tool, sheet: Sheet, source: Source, got: Fetched, audio: Audio, track: Track
) -> None:
    quality = f"{audio.codec} {audio.bitrate or '?'} kbit/s, {audio.rate} Hz, {audio.channels} channel(s)"
    sheet.find("0.5", "Track", f"{track.artist} – {track.title}, {audio.seconds:.2f} s")
    sheet.find("0.5", "Quality", f"{quality}; {'lossy' if audio.lossy else 'lossless'}")
    sheet.find("0.5", "Fingerprint", sound.said(tool, audio.fingerprint))
    ctx.evidence(
        "source.resolved",
        "query",
        proof.subject(ctx, source.key),
        True,
        {
            "url": urls.shown(source.url),
            "platform": source.platform,
            "served_from": got.url,
            "artist": track.artist,
            "title": track.title,
            "extractor": got.info.get("extractor", ""),
            "format": got.info.get("format_id", ""),
        },
    )
    ctx.evidence(
        "download.decodes",
        "command",
        proof.subject(ctx, "full decode", track.key),
        True,
        {
            "bytes": got.bytes,
            "sha256": got.sha256,
            "codec": audio.codec,
            "seconds": audio.seconds,
            "claimed_s": audio.claimed_s,
            "samples": audio.samples,
            "warnings": list(audio.warnings),
        },
    )
    for warning in audio.warnings:
        sheet.find("1", "Decoder", warning, "warn")


def _dedup(
    ctx: Context,
    tool: Tool,
    track: Track,
    audio: Audio,
    got: Fetched,
    params: Params,
    settings: Settings,
    folder: Path,
    sheet: Sheet,
) -> tuple[dedup.Ruling, Match | None]:
    index = settings.index_file(ctx.home)
    match = ctx.step("dedup", find_match, index, track, settings.same_seconds).match
    heard, equal = None, False
    if match is not None and not match.certain:
        equal = bool(match.known.pcm) and match.known.pcm == audio.pcm
        if not equal:
            at_hand = (got.path, audio.fingerprint)
            heard = ctx.step(
                "compare", sound.compare, ctx, tool, *at_hand, index, match.known.id, folder / "sound"
            )
    rate = heard.rate if heard else None
    ruling = dedup.rule(match, same_samples=equal, error_rate=rate, keep=params.duplicates == "keep")
    listed = flow_tracks.known(ctx, sheet, track.isrc, track.duration_s, track.id)
    sheet.row = listed.row
    ruling = flow_tracks.ruled(ctx, ruling, listed, params)
    sheet.dedup = {
        "call": ruling.call,
        "why": ruling.why,
        "level": match.level if match else "",
        "score": match.score if match else None,
        "error_rate": rate,
        "fingerprints": f"of the source {heard.ours}, of the library {heard.theirs}" if heard else "",
        "other": {"id": match.known.id, "artist": match.known.artist, "title": match.known.title}
        if match
        else {},
    }
    sheet.find("1", "Deduplication", ruling.why, "warn" if ruling.call == "review" else "ok")
    ctx.evidence(
        "dedup.checked",
        "query",
        proof.subject(ctx, "library index", track.key),
        ruling.call != "review",
        dict(sheet.dedup),
    )
    return ruling, match


def find_match(index: Path, track: Track, window: float) -> Lookup:
    """Step: the whole ladder of the index."""
    with Library(index) as library:
        return Lookup(match=library.find(track, window))


def _record(index: Path, track: Track, audio: Audio, placed: Placement, strong: list[str]) -> int:
    """Step: the track, its files and its fingerprint into the index; how many tracks it then knows."""
    with Library(index) as library:
        library.put(track, audio.pcm, placed.files, strong, audio.fingerprint)
        return library.size()
