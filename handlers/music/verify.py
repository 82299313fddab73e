"""Is a file what it should be? Full decode, length, samples, tags: of work files, and of the library's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daemon.sdk import Context, HandoffdError, PermanentError, TransientError
from handlers.music import measure, tags
from handlers.music.download import sha256_of
from handlers.music.model import Audio, Checked, Rendered, Tool, Track

TOLERANCE_S = 0.050
"""A file may differ from its source by this much: padding of AAC frames is at most 2,048 samples."""

CODECS = {"m4a": ("aac", "alac"), "backup": ("aac", "alac"), "aiff": ("pcm_s",), "wav": ("pcm_s",)}
"""Format → begin of the names of the codecs that it may hold."""


def check_file(
    ctx: Context, tool: Tool, kind: str, path: str, seconds: float, deep: bool | None = None
) -> Checked:
    """One file: decoded from end to end, measured against ``seconds``; what is wrong goes into ``problems``.

    ``deep``: more than 16 bits, where that is known. Raises TransientError when the decoder itself
    could not be run to its end.
    """
    file = Path(path)
    problems: list[str] = []
    audio: Audio | None = None
    try:
        if deep is None:
            audio = measure.measure(ctx, tool, path)
        else:
            audio = measure.measure_own(ctx, tool, path, deep)
    except TransientError:
        raise
    except HandoffdError as error:
        problems.append(error.one_line())
    if audio is not None:
        if not audio.codec.startswith(CODECS[kind]):
            problems.append(f"holds {audio.codec}")
        if abs(audio.seconds - seconds) > TOLERANCE_S:
            problems.append(f"lasts {audio.seconds:.3f} s instead of {seconds:.3f} s")
        if kind == "wav" and audio.channels <= 2 and (tag := measure.wav_format_tag(file)) != 1:
            problems.append(f"its WAV format tag is {tag}, not 1: some players refuse it")
    return Checked(
        format=kind,
        path=path,
        bytes=file.stat().st_size if file.exists() else 0,
        sha256=sha256_of(file) if file.exists() else "",
        codec=audio.codec if audio else "",
        seconds=audio.seconds if audio else 0.0,
        samples=audio.samples if audio else 0,
        pcm=audio.pcm if audio else "",
        difference_s=round(audio.seconds - seconds, 6) if audio else 0.0,
        problems=tuple(problems),
        packets=audio.packets if audio else "",
        cpu_s=round(audio.cpu_s, 3) if audio else 0.0,
    )


def check_rendered(ctx: Context, tool: Tool, rendered: Rendered, source: Audio) -> tuple[Checked, ...]:
    """Step: every rendered file against its source.

    WAV and AIFF must hold the very samples of the source's decode; a copied M4A the source's own packets.
    Raises PermanentError naming each problem: nothing that fails here is ever placed.
    """
    out = tuple(
        check_file(ctx, tool, f.format, f.path, source.seconds, measure.wide(source)) for f in rendered.files
    )
    copied = {f.format: f.how == "copied" for f in rendered.files}
    problems = [f"{c.format}: {p}" for c in out for p in c.problems]
    for item in out:
        if item.format in ("wav", "aiff") and not item.problems and item.pcm != source.pcm:
            problems.append(f"{item.format}: its samples are not those of the source's decode")
        if copied.get(item.format) and not item.problems and item.packets != source.packets:
            problems.append("m4a: its packets are not the source's")
    if problems:
        raise PermanentError("the rendered files are not right", problems=tuple(problems))
    return out


def read_back(ctx: Context, paths: tuple[str, ...], track: Track, cover: bool) -> list[dict[str, Any]]:
    """Step: the tags of placed files, as a reader finds them: ``{"path", "problems", "title", …}`` each."""
    out = []
    for found in tags.read(ctx, paths):
        fields, custom = found.get("fields", {}), found.get("custom", {})
        out.append(
            {
                "path": found["path"],
                "problems": tags.wrong(found, track, cover),
                "title": fields.get("title", ""),
                "artist": fields.get("artist", ""),
                "track": custom.get(tags.OWN_TAG, ""),
                "key": custom.get("handoffd:key", ""),
                "isrc": fields.get("isrc", ""),
                "fields": len(fields) + len(custom),
                "cover": found.get("cover"),
                "lossy_source": custom.get("SOURCE_LOSSY") == "1",
                "source_codec": custom.get("SOURCE_CODEC", ""),
            }
        )
    return out
