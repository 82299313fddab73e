"""Covers: judged by their first bytes without decoding, then re-encoded within bounds, or left out and said.

A picture may claim any size in a few bytes; only what a header of a known kind says within the bounds is ever
given to a decoder, and that one runs in a child with limits (reliability.md T51).
"""

from __future__ import annotations

from pathlib import Path

from daemon.sdk import Context, PermanentError
from handlers.music import ffmpeg
from handlers.music.model import Audio, Cover, Tool

MAX_BYTES = 5 << 20
MAX_PIXELS = 4000
"""Longest edge that is decoded."""
MIN_PIXELS = 16
_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})


def none(why: str) -> Cover:
    """No cover, and why."""
    return Cover(path="", mime="", width=0, height=0, bytes=0, note=why)


def header(data: bytes) -> tuple[str, int, int] | None:
    """Kind and size of a JPEG, PNG or WebP by its header; None when it is none of these."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 24:
        return "png", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    return None


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _SOF:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return "jpeg", int.from_bytes(width, "big"), int.from_bytes(height, "big")
        elif marker in (0x01, *range(0xD0, 0xD9)):
            at += 2
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if length < 2:
                return None
            at += 2 + length
    return None


def _webp(data: bytes) -> tuple[str, int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return "webp", int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8 ":
        width, height = data[26:28], data[28:30]
        return "webp", int.from_bytes(width, "little") & 0x3FFF, int.from_bytes(height, "little") & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return "webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def refusal(data: bytes) -> str:
    """Why these bytes are not taken as a cover, "" = they are."""
    if not data:
        return "the source has none"
    if len(data) > MAX_BYTES:
        return f"it has more than {MAX_BYTES} bytes"
    found = header(data)
    if found is None:
        return "it is no JPEG, PNG or WebP"
    _, width, height = found
    if not (MIN_PIXELS <= width <= MAX_PIXELS and MIN_PIXELS <= height <= MAX_PIXELS):
        return f"its header claims {width} × {height} pixels"
    return ""


def make_cover(
    ctx: Context, tool: Tool, thumbnail: str, audio: Audio, path: str, folder: Path, pixels: int
) -> Cover:
    """Step: the cover for the files: the thumbnail, else the picture inside the source, as a bounded JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(thumbnail) if thumbnail and Path(thumbnail).is_file() else None
    if source is None and audio.cover_stream:
        source = _inside(ctx, tool, path, folder)
    if source is None:
        return none("the source has none")
    with source.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    why = refusal(data)
    if why:
        return none(f"left out: {why}")
    return _encode(ctx, tool, source, folder / "cover.jpg", pixels)


def _inside(ctx: Context, tool: Tool, path: str, folder: Path) -> Path | None:
    out = folder / "inside.bin"
    copy = ("-map", "0:v:0", "-an", "-c:v", "copy", "-frames:v", "1", "-f", "rawvideo", f"file:{out}")
    result = ffmpeg.run(ctx, ffmpeg.argv(tool, path, *copy), timeout=60.0, max_file=MAX_BYTES + 4096)
    return out if result.ok and out.is_file() else None


def _encode(ctx: Context, tool: Tool, source: Path, out: Path, pixels: int) -> Cover:
    scale = f"scale='min({pixels},iw)':'min({pixels},ih)':force_original_aspect_ratio=decrease"
    command = ffmpeg.argv(
        tool,
        str(source),
        "-map",
        "0:v:0",
        "-frames:v",
        "1",
        "-vf",
        f"{scale},format=yuvj420p",
        "-c:v",
        "mjpeg",
        "-q:v",
        "3",
        "-map_metadata",
        "-1",
        "-f",
        "mjpeg",
        f"file:{out}",
        formats=ffmpeg.IMAGE_FORMATS,
    )
    try:
        result = ffmpeg.run(ctx, command, timeout=30.0, max_file=4 * MAX_BYTES)
    except PermanentError as error:
        return none(f"left out: {error.message}")
    found = header(out.read_bytes()) if result.ok and out.is_file() else None
    if found is None:
        return none(f"left out: it can't be decoded: {ffmpeg.complaint(result)}")
    return Cover(
        path=str(out), mime="image/jpeg", width=found[1], height=found[2], bytes=out.stat().st_size, note=""
    )
