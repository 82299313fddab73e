"""ffmpeg: found once, asked what it can do, called with file inputs only. Builders are pure.

Every input is ``file:PATH`` under a protocol and a format whitelist, so no name and no content of a file can
make ffmpeg open anything else (reliability.md T47, T48).
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon.sdk import BlockedError, ChildResult, Context, PermanentError, TransientError
from handlers.music.model import LOSSLESS, Audio, Tool

INPUT_FORMATS = "mov,mp3,aac,flac,wav,w64,aiff,ogg,matroska,mpegts,asf,caf,wv"
"""Containers that audio comes in; playlists, concat scripts and the like are not among them."""
IMAGE_FORMATS = "jpeg_pipe,png_pipe,image2,mjpeg,webp_pipe"
MEMORY = 2048 << 20
"""Address space of one ffmpeg, bytes: what 240 s tracks need is under 200 MB."""
NEEDED_ENCODERS = ("aac", "pcm_s16le", "pcm_s16be")
NEEDED_MUXERS = ("ipod", "aiff", "wav", "hash", "framehash", "null")
OLDEST = (4, 4)
"""The first ffmpeg whose messages are laid out as ``parse_probe`` reads them; of April 2021."""
PACKET_SAMPLES = 65536
"""Samples handed on at a time. ffmpeg 7 and later passes every packet between threads: with the AAC frame's
1024 samples the hand-over costs more than the decoding (measured: 0.57 → 0.31 CPU-s for a 4-minute track;
from 16384 on a few hundredths are left to gain, on a busy machine)."""

_DURATION = re.compile(r"^  Duration: (?:(\d+):(\d\d):(\d\d(?:\.\d+)?)|N/A)", re.M)
_INPUT = re.compile(r"^Input #0, ([\w,]+), from ", re.M)
_AUDIO = re.compile(
    r"^  Stream #0:\d+[^:\n]*: Audio: ([a-z0-9_]+)(?: \(([^()]*)\))?[^,\n]*, (\d+) Hz, ([^,\n]+), "
    r"([a-z0-9]+)(?: \((\d+) bit\))?(?:, (\d+) kb/s)?",
    re.M,
)
_PICTURE = re.compile(r"^  Stream #0:\d+[^:\n]*: Video: .*\(attached pic\)", re.M)
_LAYOUTS = {"mono": 1, "stereo": 2, "2.1": 3, "quad": 4, "4.0": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}


def candidates(configured: str) -> list[str]:
    """Paths of ffmpegs, the first choice first: the configured one alone, or the system's and the one that
    imageio-ffmpeg brings."""
    if configured:
        return [configured] if shutil.which(configured) else []
    system = shutil.which("ffmpeg")
    try:
        import imageio_ffmpeg

        return [path for path in (system, str(imageio_ffmpeg.get_ffmpeg_exe())) if path]
    except (ImportError, RuntimeError):
        return [system] if system else []


def find_ffmpeg(configured: str = "") -> Tool:
    """The ffmpeg of this machine, and what it can do: of the candidates the first that lacks nothing, else
    the first. Cached for the life of the process.

    Raises BlockedError when there is none that runs.
    """
    found: list[Tool] = []
    error = BlockedError(
        "no ffmpeg found", hint="install ffmpeg, or `pip install imageio-ffmpeg`, or set music.ffmpeg"
    )
    for path in candidates(configured):
        stat = Path(path).stat() if Path(path).exists() else None
        try:
            found.append(_examined(path, stat.st_mtime_ns if stat else 0))
        except BlockedError as refused:
            error = refused
        else:
            if not missing(found[-1]):
                return found[-1]
    if not found:
        raise error
    return found[0]


@functools.lru_cache(maxsize=4)
def _examined(path: str, changed_ns: int) -> Tool:  # changed_ns: a replaced binary is asked again
    try:
        text = _asked(path, "-version")
    except (OSError, subprocess.SubprocessError) as error:
        raise BlockedError(
            f"{path} does not run: {error}", hint="install ffmpeg or set music.ffmpeg"
        ) from error
    match = re.search(r"ffmpeg version n?((\d+)(?:\.\d+)*)", text)
    return Tool(
        path=path,
        version=match.group(1) if match else "unknown",
        major=int(match.group(2)) if match else 0,
        encoders=_names(_asked(path, "-encoders")),
        muxers=_names(_asked(path, "-muxers")),
        filters=_names(_asked(path, "-filters")),
    )


def _asked(path: str, question: str) -> str:
    done = subprocess.run(
        [path, "-hide_banner", "-nostdin", question],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace")


def _names(table: str) -> tuple[str, ...]:
    wanted = {
        *NEEDED_ENCODERS,
        *NEEDED_MUXERS,
        "aac_at",
        "alac",
        "pcm_s24le",
        "pcm_s24be",
        "pcm_s32le",
        "pcm_s32be",
        "mjpeg",
        "png",
        "chromaprint",
        "ebur128",
    }
    return tuple(
        sorted({w[1] for line in table.splitlines() if len(w := line.split()) > 1 and w[1] in wanted})
    )


def missing(tool: Tool) -> list[str]:
    """What this ffmpeg lacks of what a sync needs. A build that says no version is taken as a new one."""
    version = tuple(int(part) for part in tool.version.split(".")[:2]) if tool.major else OLDEST
    old = [f"version {OLDEST[0]}.{OLDEST[1]} (it is {tool.version})"] if version < OLDEST else []
    encoders = [f"encoder {n}" for n in NEEDED_ENCODERS if n not in tool.encoders]
    return old + encoders + [f"muxer {n}" for n in NEEDED_MUXERS if n not in tool.muxers]


def argv(tool: Tool, path: str, *rest: str, level: str = "error", formats: str = INPUT_FORMATS) -> list[str]:
    """The start of every call: one local file in, errors fatal, no prompt, no other protocol."""
    return [
        tool.path,
        "-hide_banner",
        "-nostdin",
        "-y",
        "-v",
        level,
        "-xerror",
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        formats,
        "-i",
        f"file:{path}",
        *rest,
    ]


def run(
    ctx: Context,
    command: Sequence[str],
    *,
    timeout: float,
    max_file: int | None = None,
    on_line: Callable[[str], None] | None = None,
) -> ChildResult:
    """Run one ffmpeg in a child with limits; ``on_line`` gets each line of its output.

    Raises TransientError when it was stopped or killed, PermanentError when it crashed.
    """
    result = ctx.child(
        list(command),
        timeout=timeout,
        max_file=max_file,
        max_memory=MEMORY,
        one_core=True,
        on_line=on_line,
    )
    if result.ended != "exit":
        raise TransientError(f"ffmpeg was stopped: {result.ended} after {result.wall_s:.0f} s")
    if result.returncode < 0:
        raise PermanentError(f"ffmpeg crashed on this file (signal {-result.returncode})")
    return result


def complaint(result: ChildResult) -> str:
    """The last telling line of ffmpeg's messages."""
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Error opening input files")]
    text = re.sub(r"^\[[^\]]*\] ", "", (telling or lines or ["no message"])[-1])
    return text[:200]


def full_disk(result: ChildResult) -> bool:
    """Whether ffmpeg failed for want of space (or at its file size limit)."""
    return "No space left" in result.stderr or "Disk quota exceeded" in result.stderr


def probe(ctx: Context, tool: Tool, path: str) -> Audio:
    """What the container says of the first audio stream, and its tags; nothing decoded yet.

    Raises PermanentError ("not audio: …") when there is none. There need not be an ffprobe.
    """
    command = argv(tool, path, "-map_metadata", "0", "-f", "ffmetadata", "pipe:1", level="info")
    result = run(ctx, command, timeout=60.0)
    found = said_of(result.stderr, parse_metadata(result.stdout))
    if found is None:
        raise PermanentError(f"not audio: {_kind_of(Path(path))}", hint="use the address of an audio file")
    return found


def said_of(text: str, tags: dict[str, str]) -> Audio | None:
    """What ffmpeg's messages (at level info) say of its first input; None = no audio stream in it."""
    parsed = parse_probe(text)
    if parsed is None:
        return None
    codec, profile, container, rate, channels, sample_format, bitrate, claimed = parsed
    return Audio(
        codec=codec,
        profile=profile,
        container=container,
        rate=rate,
        channels=channels,
        sample_format=sample_format,
        bitrate=bitrate,
        claimed_s=claimed,
        seconds=0.0,
        samples=0,
        pcm="",
        lossy=is_lossy(codec),
        tags=tags,
        cover_stream=bool(_PICTURE.search(text)),
    )


def is_lossy(codec: str) -> bool:
    """Whether the codec threw something away."""
    return codec not in LOSSLESS and not codec.startswith("pcm_")


def _kind_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip()[:1] == b"<":
        return "the source gave an HTML or XML page"
    try:
        head[:500].decode("utf-8")
    except UnicodeDecodeError:
        return "ffmpeg finds no audio stream in what the source gave"
    return "the source gave plain text"


def parse_probe(
    text: str,
) -> tuple[str, str, str, int, int, str, int | None, float | None] | None:
    """Codec, profile, container, rate, channels, sample format, kbit/s, seconds; None = no audio stream.

    Only lines at the indentation that ffmpeg itself uses count: a tag's text can't pose as one.
    """
    head, audio = _INPUT.search(text), _AUDIO.search(text)
    if head is None or audio is None:
        return None
    codec, profile, rate, layout, sample_format, _bits, bitrate = audio.groups()
    length = _DURATION.search(text)
    claimed = None
    if length and length.group(1):
        claimed = int(length.group(1)) * 3600 + int(length.group(2)) * 60 + float(length.group(3))
    plain = layout.split("(")[0].strip()
    counted = re.match(r"(\d+) channels", plain)
    channels = int(counted.group(1)) if counted else _LAYOUTS.get(plain, 0)
    known = (profile or "") if profile in ("LC", "HE-AAC", "HE-AACv2", "Main", "LD", "ELD") else ""
    return (
        codec,
        known,
        head.group(1),
        int(rate),
        channels,
        sample_format,
        int(bitrate) if bitrate else None,
        claimed,
    )


def parse_metadata(text: str) -> dict[str, str]:
    """The global tags of an ffmetadata document, keys in lower case, values bounded."""
    out: dict[str, str] = {}
    body = text.split("\n[", 1)[0]
    for line in re.split(r"(?<!\\)\n", body)[1:]:
        key, equals, value = line.partition("=")
        if equals and len(out) < 40:
            out[key.strip().lower()] = re.sub(r"\\(.)", r"\1", value, flags=re.S)[:500]
    return out
