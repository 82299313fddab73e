"""One ffmpeg, one decode, every format; then the tags. AAC is copied into the M4A, never encoded again."""

from __future__ import annotations

import shutil
from pathlib import Path

from daemon.sdk import BlockedError, Context, PermanentError
from handlers.music import ffmpeg, measure, tags
from handlers.music.model import Audio, Cover, Made, Rendered, Tool, Track
from handlers.music.settings import Settings

MAX_AAC_RATE = 96000
"""Highest sample rate of AAC; above it the M4A is ALAC, since the rate is never changed."""
WAV_LIMIT = (1 << 32) - (1 << 20)
"""Bytes: a WAV's size field has 32 bits."""


def pcm_of(audio: Audio) -> str:
    """``s16`` | ``s24`` | ``s32``: the source's own depth; 16 for what a lossy codec gives, 32 for floats."""
    if not measure.wide(audio):
        return "s16"
    return "s32" if audio.codec.startswith(("pcm_s32", "pcm_f")) else "s24"


def copies(audio: Audio) -> bool:
    """Whether the M4A is a stream copy."""
    return audio.codec == "aac"


def command(
    tool: Tool, source: str, audio: Audio, formats: tuple[str, ...], folder: Path, kbit: int
) -> list[str]:
    """The one ffmpeg call. The decode is split after its only conversion, so WAV and AIFF hold equal samples.

    A packet of samples is made large before the split: see ``ffmpeg.PACKET_SAMPLES``. The encoder's input
    gets new time stamps, without which ffmpeg before 7 makes AAC from Opus start 7 ms late (research §5.6).
    """
    deep = pcm_of(audio)
    encode = "m4a" in formats and not copies(audio)
    taps = [f for f in ("wav", "aiff") if f in formats] + (["m4a"] if encode else [])
    out: list[str] = []
    if taps:
        sample = "s16" if deep == "s16" else "s32"
        packets = f"asetnsamples=n={ffmpeg.PACKET_SAMPLES}:p=0"
        pcm = [t for t in taps if t != "m4a"]
        chain = []
        if encode and pcm:
            chain.append(
                f"[0:a:0]asetpts=N/SR/TB,asplit=2[raw][m4a];[raw]aresample=osf={sample},{packets}[pcm]"
            )
        elif encode:
            chain.append("[0:a:0]asetpts=N/SR/TB[m4a]")
        else:
            chain.append(f"[0:a:0]aresample=osf={sample},{packets}[pcm]")
        if len(pcm) == 2:
            chain.append("[pcm]asplit=2[wav][aiff]")
        elif pcm:
            chain.append(f"[pcm]anull[{pcm[0]}]")
        out += ["-filter_complex_threads", "1", "-filter_complex", ";".join(chain)]
    common = ["-map_metadata", "-1", "-map_chapters", "-1", "-vn", "-sn", "-dn", "-fflags", "+bitexact"]
    for name, end, muxer in (("wav", "le", "wav"), ("aiff", "be", "aiff")):
        if name in formats:
            target = f"file:{folder / f'track.{name}'}"
            out += ["-map", f"[{name}]", *common, "-c:a", f"pcm_{deep}{end}", "-f", muxer, target]
    if "m4a" in formats:
        feed = ["-map", "[m4a]"] if encode else ["-map", "0:a:0"]
        out += [*feed, *common, *_codec(tool, audio, kbit), "-f", "ipod", f"file:{folder / 'track.m4a'}"]
    return ffmpeg.argv(tool, source, *out)


def _codec(tool: Tool, audio: Audio, kbit: int) -> list[str]:
    if copies(audio):
        return ["-c:a", "copy"]
    if audio.rate > MAX_AAC_RATE:
        return ["-c:a", "alac"]
    if "aac_at" in tool.encoders:  # Apple's, on macOS
        return ["-c:a", "aac_at", "-b:a", f"{kbit}k"]
    # twoloop: "fast" costs half and loses 13 dB (research §5.5)
    return ["-c:a", "aac", "-aac_coder", "twoloop", "-b:a", f"{kbit}k", "-flags:a", "+bitexact"]


def render(
    ctx: Context,
    tool: Tool,
    source: str,
    audio: Audio,
    track: Track,
    cover: Cover,
    folder: Path,
    settings: Settings,
    label: Audio | None = None,
) -> Rendered:
    """Step: tagged files in ``folder``, which is emptied first: a half-made file is never gone on with.

    ``label``: the source that the tags name, where it is another than what is rendered (a set made whole).
    The backup is no output: it is a copy of the finished M4A, made when the files are placed.
    Raises BlockedError on a full disk, PermanentError when the source can't be rendered.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = tuple(dict.fromkeys("m4a" if f == "backup" else f for f in settings.formats))
    width = {"s16": 2, "s24": 3, "s32": 4}[pcm_of(audio)]
    size = audio.samples * audio.channels * width
    if size > WAV_LIMIT and "wav" in wanted:
        raise PermanentError(f"a WAV of it would have {size} bytes, more than the format can hold")
    result = ffmpeg.run(
        ctx,
        command(tool, source, audio, wanted, folder, settings.aac_bitrate),
        timeout=measure.patience(audio.seconds),
        max_file=size + audio.channels * audio.samples + (16 << 20),
    )
    if not result.ok:
        shutil.rmtree(folder)  # half-made files would keep a full disk full
        if ffmpeg.full_disk(result):
            raise BlockedError("no space left while rendering", hint="free space on the work folder's disk")
        raise PermanentError(f"rendering failed: {ffmpeg.complaint(result)}")
    if "wav" in wanted and measure.wav_format_tag(folder / "track.wav") == 0xFFFE and audio.channels <= 2:
        measure.make_plain_wav(folder / "track.wav")
    how = "copied" if copies(audio) else "encoded"
    made = tuple(
        Made(format=f, path=str(folder / f"track.{f}"), how=how if f == "m4a" else "decoded") for f in wanted
    )
    try:
        tags.write(ctx, made, track, label or audio, cover)
    except BlockedError:
        shutil.rmtree(folder)
        raise
    return Rendered(files=made, cpu_s=round(result.cpu_s, 3), wall_s=result.wall_s)
