"""Decode a file from end to end, count what comes out, and hash it: the only proof that it plays."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.sdk import BlockedError, Context, PermanentError
from handlers.music import ffmpeg, hearing, sound
from handlers.music.model import Audio, Tool

SHORTFALL = 0.02
"""A decode may fall short of what the container claims by this share (and one second): encoders round, and
an MP3's length is often an estimate. More is a truncated file."""

_BASE = re.compile(r"#tb 0: 1/([1-9]\d*)")
_PACKET = re.compile(r"0, *-?\d+, *-?\d+, *(\d+), *\d+, ([0-9a-f]{32})")
_MD5 = re.compile(r"^MD5=([0-9a-f]{32})$", re.M)


MONO = f"aresample={hearing.RATE},aformat=channel_layouts=mono"
"""What tempo and key are heard in; costs 0.1 CPU-s for four minutes."""
METER = "ebur128=framelog=verbose:peak=sample,aselect=not(n)"
"""Costs 0.3 CPU-s for four minutes; the true peak would cost 1.1 (research/music.md §5.8). ``framelog=quiet``
is unknown to ffmpeg 5. One frame goes on into a null output: with a sink in its place ffmpeg 7.0 aborts."""
_LOUDNESS = re.compile(r"^    I: +(-?\d+(?:\.\d+)?) LUFS$", re.M)
_PEAK = re.compile(r"^    Peak: +(-?\d+(?:\.\d+)?) dBFS$", re.M)
SILENCE_LUFS = -69.0
"""What EBU R128 gives for nothing at all is −70."""


def patience(seconds: float | None) -> float:
    """How long one pass over a track of ``seconds`` may take, s; measured: a 240 s track takes under 1 s."""
    return 60.0 + 0.5 * (seconds or 3600.0)


def wide(audio: Audio) -> bool:
    """Whether 16 bits would lose something: a lossless source of more than 16 bits."""
    return not audio.lossy and audio.sample_format.rstrip("p") not in ("u8", "s16")


def measure(
    ctx: Context,
    tool: Tool,
    path: str,
    loud: bool = False,
    mono: Path | None = None,
    prints: Path | None = None,
) -> Audio:
    """Probe and full decode; with ``loud`` the loudness is taken from the same decode, and ``mono`` gets a
    mono rendering of its first ``hearing.LONGEST_S`` for the analysis of tempo and key. ``prints``: where
    the same decode may leave a fingerprint for as long as it takes; None = none is wanted.

    Raises PermanentError when it is no audio, or damaged.
    """
    found = ffmpeg.probe(ctx, tool, path)
    by = sound.means(tool) if prints else ""
    tap = prints if by == "ffmpeg" else None
    beside = _Beside(loud and "ebur128" in tool.filters, mono, tap)
    audio = _decoded(ctx, tool, path, found, wide(found), beside)
    words = sound.left_at(tap) if tap else sound.by_fpcalc(ctx, by, path) if by else None
    return replace(audio, fingerprint=sound.packed(words)) if words else audio


def measure_own(ctx: Context, tool: Tool, path: str, deep: bool) -> Audio:
    """The same for a file that we made, in one call: its depth is known, its tags are read elsewhere."""
    return _decoded(ctx, tool, path, None, deep)


class _Counted:
    """What a decode gave, from its lines of ``framehash``: its length, and one hash over all packets.

    Counted here, since what ffmpeg calls the time at its end is that of the shortest output in some versions
    (7.0) and of the longest in others.
    """

    def __init__(self) -> None:
        self._rate = self._units = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def line(self, text: str) -> None:
        if packet := _PACKET.fullmatch(text.strip()):
            self._units += int(packet[1])
            self._hash.update(bytes.fromhex(packet[2]))
        elif base := _BASE.fullmatch(text.strip()):
            self._rate = int(base[1])

    @property
    def seconds(self) -> float:
        return self._units / self._rate if self._rate else 0.0

    @property
    def pcm(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class _Beside:
    """What listens to the one decode: the loudness meter, and where mono samples and fingerprint are left."""

    loud: bool = False
    mono: Path | None = None
    tap: Path | None = None

    def fewer(self) -> tuple[_Beside, str]:
        """The same without what fails first, and what is then lost."""
        if self.tap is not None:
            return replace(self, tap=None), "no fingerprint"
        return _Beside(), "no loudness, no samples for the analysis"

    def clear(self) -> None:
        """Remove what was left of a pass that failed."""
        for part in (self.mono, self.tap):
            if part is not None:
                part.unlink(missing_ok=True)


_ALONE = _Beside()


def _decoded(
    ctx: Context, tool: Tool, path: str, found: Audio | None, deep: bool, beside: _Beside = _ALONE
) -> Audio:
    """What the decode of the whole file gave. ``found`` None: the container's words come from the same call.

    What fails beside the decode is no damage of the sound: it is decoded again with fewer listeners, and
    what was lost is among its warnings. Raises PermanentError when decoding fails, gives nothing, or stops
    well before the claimed end.
    """
    try:
        return _pass(ctx, tool, path, found, deep, beside)
    except PermanentError as error:
        beside.clear()
        if beside == _ALONE:
            raise
        fewer, lost = beside.fewer()
        audio = _decoded(ctx, tool, path, found, deep, fewer)
        return replace(audio, warnings=(*audio.warnings, f"{lost}: {error.message}"[:200]))


def _pass(ctx: Context, tool: Tool, path: str, found: Audio | None, deep: bool, beside: _Beside) -> Audio:
    command = ffmpeg.argv(
        tool,
        path,
        *_feed(beside),
        "-vn",
        "-c:a",
        "pcm_s32le" if deep else "pcm_s16le",
        "-f",
        "framehash",
        "-hash",
        "murmur3",
        "pipe:1",
        level="level+info" if beside.loud else "error" if found else "info",
    )
    counted = _Counted()
    limit = patience(found.claimed_s if found else None)
    result = ffmpeg.run(ctx, command, timeout=limit, on_line=counted.line)
    if (beside.mono or beside.tap) and ffmpeg.full_disk(result):
        beside.clear()
        raise BlockedError("no space left while measuring", hint="free space on the work folder's disk")
    if result.returncode != 0:
        raise PermanentError(f"the audio is damaged: {ffmpeg.complaint(result)}", hint="use another source")
    seconds = counted.seconds
    if seconds == 0.0:
        raise PermanentError("not audio: the stream holds no samples", hint="use another source")
    lines = result.stderr.splitlines() if found else []
    warnings = tuple(line.strip()[:160] for line in lines if not beside.loud or "[error]" in line)[:3]
    loudness, peak = _metered(result.stderr) if beside.loud else (None, None)
    found = found or ffmpeg.said_of(result.stderr, {})
    if found is None:
        raise PermanentError("not audio: ffmpeg names no audio stream", hint="use another source")
    short = (found.claimed_s or 0.0) - seconds
    if found.claimed_s and short > max(1.0, SHORTFALL * found.claimed_s):
        raise PermanentError(
            f"the audio is damaged: {seconds:.2f} s can be decoded of {found.claimed_s:.2f} s",
            hint="the download or the source is truncated; use another source",
        )
    return replace(
        found,
        seconds=round(seconds, 6),
        samples=round(seconds * found.rate),
        pcm=counted.pcm,
        loudness=loudness,
        peak=peak,
        packets=packets(ctx, tool, path, found) if found.codec == "aac" else "",
        warnings=warnings,
        cpu_s=result.cpu_s,
    )


def _feed(beside: _Beside) -> list[str]:
    """Filters of the one decode: the samples, beside them the meter, the mono rendering and the fingerprint.

    The meter has a branch of its own: some versions of it convert what passes through.
    """
    chain = f"asetnsamples=n={ffmpeg.PACKET_SAMPLES}:p=0"
    loud, mono, tap = beside.loud, beside.mono, beside.tap
    if beside == _ALONE:
        return ["-map", "0:a:0", "-af", chain]
    branches = ["[pcm]", *(["[m]"] if loud else []), *(["[one]"] if mono else []), *(["[p]"] if tap else [])]
    graph = f"[0:a:0]{chain},asplit={len(branches)}{''.join(branches)}"
    more: list[str] = []
    if loud:
        graph += f";[m]{METER}[void]"
        more += ["-map", "[void]", "-c:a", "pcm_s16le", "-f", "null", "pipe:1"]
    if mono is not None:
        graph += f";[one]{MONO}[small]"
        more += ["-map", "[small]", "-t", f"{hearing.LONGEST_S:.0f}", "-c:a", "pcm_s16le", "-f", "s16le"]
        more.append(f"file:{mono}")
    if tap is not None:
        graph += f";[p]{sound.HEARD}[print]"
        more += ["-map", "[print]", *sound.WRITTEN, f"file:{tap}"]
    return ["-filter_complex", graph, *more, "-map", "[pcm]"]


def _metered(text: str) -> tuple[float | None, float | None]:
    """Integrated loudness and sample peak of ffmpeg's summary; None for silence and what is too short."""
    loudness, peak = _LOUDNESS.findall(text), _PEAK.findall(text)
    if not loudness or not peak or float(loudness[-1]) < SILENCE_LUFS:
        return None, None
    return float(loudness[-1]), float(peak[-1])


def packets(ctx: Context, tool: Tool, path: str, audio: Audio) -> str:
    """Hash of the AAC packets as they stand in an MP4: equal hashes mean that nothing was encoded again."""
    framed = [] if audio.container.startswith(("mov", "matroska")) else ["-bsf:a", "aac_adtstoasc"]
    command = ffmpeg.argv(
        tool, path, "-map", "0:a:0", "-vn", "-c", "copy", *framed, "-f", "hash", "-hash", "md5", "pipe:1"
    )
    result = ffmpeg.run(ctx, command, timeout=patience(audio.claimed_s))
    digest = _MD5.search(result.stdout)
    if not result.ok or digest is None:
        raise PermanentError(f"the audio is damaged: {ffmpeg.complaint(result)}", hint="use another source")
    return digest.group(1)


def wav_format_tag(path: Path) -> int | None:
    """The format tag of a WAV's ``fmt`` chunk; 1 = plain PCM, None = no such chunk.

    0xFFFE (extensible) is refused by some players in hardware (research/music.md §2.2).
    """
    with path.open("rb") as file:
        if file.read(12)[8:12] != b"WAVE":
            return None
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"fmt ":
                return int.from_bytes(file.read(2), "little")
            file.seek(size + (size & 1), 1)
    return None


def make_plain_wav(path: Path) -> None:
    """Set the format tag of a 24- or 32-bit integer WAV to plain PCM, in place; the samples are the same."""
    with path.open("r+b") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"fmt ":
                file.write((1).to_bytes(2, "little"))
                return
            file.seek(size + (size & 1), 1)
    raise BlockedError("ffmpeg wrote a WAV without a format chunk", hint="use another ffmpeg")
