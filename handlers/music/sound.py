"""Do two files sound the same? Chromaprint, by ffmpeg's own muxer or by fpcalc; optional, and said so.

A track's fingerprint is taken in the decode that measures it (measure.py) and kept in the library index,
bound to the samples that it was taken of. It answers for a file only while that file is, byte for byte,
the one that was made of these samples; everything else is decoded when it is compared.
"""

from __future__ import annotations

import array
import base64
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.sdk import Context
from handlers.music import download, ffmpeg
from handlers.music.library import Library
from handlers.music.model import Placed, Tool

SAME, DOUBT = 0.15, 0.30
"""Bit error rates: up to SAME the same audio, up to DOUBT a person decides; different songs have ≥ 0.397
(research/music.md §6.3: re-encodes ≤ 0.011, EQ and loudness ≤ 0.149)."""
SHIFT = 80
"""Frames of about 0.12 s by which the two are moved against each other."""
SHORTEST = 16
"""Words that must overlap: under about 5 s a fingerprint says too little."""
LONGEST_S = 120
"""Seconds from the start that are heard; gives about 950 words of 32 bits."""
HEARD = f"atrim=end={LONGEST_S},aresample=44100,aformat=sample_fmts=s16:channel_layouts=stereo"
"""Filters before the muxer: one form, whatever the source's is. Costs 0.1 CPU-s for four minutes."""
WRITTEN = ("-c:a", "pcm_s16le", "-f", "chromaprint", "-algorithm", "1", "-fp_format", "raw")
"""Algorithm 1 is what both tools take by themselves (fpcalc calls it 2); named, since prints are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """``rate``: bit error rate of the two fingerprints, None = it could not be told. ``ours``, ``theirs``:
    ``kept``, ``decoded`` (taken for this comparison) or ``missing``."""

    rate: float | None
    ours: str
    theirs: str


def means(tool: Tool) -> str:
    """What will take fingerprints: ``ffmpeg``, the path of fpcalc, or "" = nothing here can."""
    return "ffmpeg" if "chromaprint" in tool.muxers else shutil.which("fpcalc") or ""


def packed(words: Sequence[int]) -> str:
    """A fingerprint as text: its 32-bit words, low byte first, in base64; 5 kB for two minutes."""
    return base64.b64encode(_swapped(array.array("I", words)).tobytes()).decode("ascii")


def unpacked(text: str) -> list[int]:
    """The words of ``packed`` text. Raises ValueError for anything else."""
    words = array.array("I")
    words.frombytes(base64.b64decode(text, validate=True))
    return _swapped(words).tolist()


def said(tool: Tool, fingerprint: str) -> str:
    """A line for the report: whether a source has a fingerprint, by what, or why it has none."""
    by = means(tool)
    if not by:
        return "none: neither ffmpeg nor fpcalc can take one here"
    if not fingerprint:
        return "none: the sound is too short for one, or its kind can't be taken"
    how = "from the same decode" if by == "ffmpeg" else "by fpcalc"
    return f"{len(unpacked(fingerprint))} words, {how}"


def _swapped(words: array.array[int]) -> array.array[int]:
    if sys.byteorder == "big":
        words.byteswap()
    return words


def left_at(out: Path) -> list[int] | None:
    """The words that ffmpeg wrote to ``out``, which is removed; None when they are too few to say much."""
    if not out.is_file():
        return None
    words = array.array("I")
    data = out.read_bytes()
    out.unlink()
    words.frombytes(data[: len(data) // words.itemsize * words.itemsize])
    return words.tolist() if len(words) >= SHORTEST else None


def fingerprint(ctx: Context, tool: Tool, path: str, out: Path) -> list[int] | None:
    """The raw fingerprint of the first two minutes, in a decode of its own; None when nothing here can, or
    the file is too short."""
    by = means(tool)
    if not by:
        return None
    if by != "ffmpeg":
        return by_fpcalc(ctx, by, path)
    command = ffmpeg.argv(
        tool, path, "-map", "0:a:0", "-vn", "-t", str(LONGEST_S), "-af", HEARD, *WRITTEN, f"file:{out}"
    )
    result = ffmpeg.run(ctx, command, timeout=120.0)
    return left_at(out) if result.ok else None


def by_fpcalc(ctx: Context, fpcalc: str, path: str) -> list[int] | None:
    """The same by fpcalc. Its exit code says nothing: 1.5 ends with 3 on every WAV of under two minutes
    (research/music.md §4.5)."""
    command = [fpcalc, "-raw", "-plain", "-length", str(LONGEST_S), str(Path(path).resolve())]
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


def compare(ctx: Context, tool: Tool, path: str, ours: str, index: Path, track: str, folder: Path) -> Heard:
    """Step: the file at hand, its packed fingerprint ``ours`` ("" = none), against a track of the library.

    A fingerprint that is missing is taken now. A track whose files are not there can't be heard.
    """
    with Library.looking(index) as library:
        kept = library.fingerprint(track)
        there = [f for f in library.files_of(track) if Path(f.path).is_file()]
    if not there:
        return Heard(rate=None, ours="kept" if ours else "missing", theirs="missing")
    folder.mkdir(parents=True, exist_ok=True)
    nearest = min(there, key=lambda f: (f.bytes, f.path))
    a = unpacked(ours) if ours else fingerprint(ctx, tool, path, folder / "a.fp")
    known = unpacked(kept) if kept and unchanged(nearest) else None
    b = known or fingerprint(ctx, tool, nearest.path, folder / "b.fp")
    return Heard(
        rate=None if a is None or b is None else round(error_rate(a, b), 4),
        ours="kept" if ours else "decoded" if a else "missing",
        theirs="kept" if known else "decoded" if b else "missing",
    )


def unchanged(file: Placed) -> bool:
    """Whether the file is still, byte for byte, what was placed."""
    path = Path(file.path)
    return file.sha256 != "" and path.stat().st_size == file.bytes and download.sha256_of(path) == file.sha256
