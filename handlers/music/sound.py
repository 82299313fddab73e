"""Do two files sound the same? Chromaprint, by ffmpeg's own muxer or by fpcalc; optional, and said so."""

from __future__ import annotations

import array
import shutil
from pathlib import Path

from daemon.sdk import Context
from handlers.music import ffmpeg
from handlers.music.model import Tool

SAME, DOUBT = 0.15, 0.30
"""Bit error rates: up to SAME the same audio, up to DOUBT a person decides; different songs have ≥ 0.397
(research/music.md §6.3: re-encodes ≤ 0.011, EQ and loudness ≤ 0.149)."""
SHIFT = 80
"""Frames of about 0.12 s by which the two are moved against each other."""
SHORTEST = 16
"""Words that must overlap: under about 5 s a fingerprint says too little."""


def means(tool: Tool) -> str:
    """What will take fingerprints: ``ffmpeg``, the path of fpcalc, or "" = nothing here can."""
    return "ffmpeg" if "chromaprint" in tool.muxers else shutil.which("fpcalc") or ""


def fingerprint(ctx: Context, tool: Tool, path: str, out: Path) -> list[int] | None:
    """The raw fingerprint of the first two minutes; None when nothing here can, or the file is too short."""
    by = means(tool)
    if not by:
        return None
    if by != "ffmpeg":
        return _by_fpcalc(ctx, by, path)
    command = ffmpeg.argv(
        tool,
        path,
        "-map",
        "0:a:0",
        "-vn",
        "-t",
        "120",
        "-ac",
        "2",
        "-ar",
        "44100",
        "-f",
        "chromaprint",
        "-fp_format",
        "raw",
        f"file:{out}",
    )
    result = ffmpeg.run(ctx, command, timeout=120.0)
    if not result.ok or not out.is_file():
        return None
    words = array.array("I")
    data = out.read_bytes()
    words.frombytes(data[: len(data) // words.itemsize * words.itemsize])
    return words.tolist() if len(words) >= SHORTEST else None


def _by_fpcalc(ctx: Context, fpcalc: str, path: str) -> list[int] | None:
    """The same by fpcalc. Its exit code says nothing: 1.5 ends with 3 on every WAV of under two minutes
    (research/music.md §4.5)."""
    command = [fpcalc, "-raw", "-plain", "-length", "120", str(Path(path).resolve())]
    result = ctx.child(command, timeout=120.0, max_memory=ffmpeg.MEMORY, one_core=True)
    words = [w for w in result.stdout.strip().split(",") if w.isdecimal()]
    return [int(w) for w in words] if len(words) >= SHORTEST else None


def error_rate(left: list[int], right: list[int]) -> float:
    """Share of bits that differ where the two fit best; 1.0 when they are too short to say."""
    best = 1.0
    for shift in range(-SHIFT, SHIFT + 1):
        a, b = (left[shift:], right) if shift >= 0 else (left, right[-shift:])
        n = min(len(a), len(b))
        if n < max(SHORTEST, min(len(left), len(right)) // 2):
            continue
        wrong = sum((x ^ y).bit_count() for x, y in zip(a[:n], b[:n], strict=True))
        best = min(best, wrong / (32 * n))
    return best


def compare(ctx: Context, tool: Tool, left: str, right: str, folder: Path) -> float | None:
    """Step: bit error rate of two files' fingerprints; None = it could not be told."""
    folder.mkdir(parents=True, exist_ok=True)
    a = fingerprint(ctx, tool, left, folder / "a.fp")
    b = fingerprint(ctx, tool, right, folder / "b.fp")
    return None if a is None or b is None else round(error_rate(a, b), 4)
