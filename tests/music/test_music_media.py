"""Media from strangers: covers, malformed tags, HLS, a page with a player; a probe that can't be fooled."""

from __future__ import annotations

import http.server
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.mp4 import MP4

from daemon.sdk import Blocked, Done
from daemon.testing import DirectContext
from handlers.music import covers, measure, preflight, sound, tags
from handlers.music.ffmpeg import parse_metadata, parse_probe
from handlers.music.model import Tool
from tests.music.conftest import Site, Sync, answer, gates, library_files


def png(width: int, height: int) -> bytes:
    """A valid, tiny, one-colour PNG of any claimed size: a bomb when it is large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x01\x00\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "none"),
        (b"<html>not a picture</html>" * 10, "no JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no JPEG"),
        (png(20_000, 20_000), "20000 × 20000"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(20), "65535 × 65535"),
        (png(8, 8), "8 × 8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(6 << 20), "bytes"),
    ],
)
def test_T51_a_cover_is_judged_without_decoding(data: bytes, why: str) -> None:
    assert why in covers.refusal(data)


@given(
    st.binary(max_size=200), st.sampled_from((b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF0000WEBP"))
)
def test_any_bytes_have_a_header_or_none(data: bytes, start: bytes) -> None:
    found = covers.header(start + data)
    assert found is None or (found[0] in ("png", "jpeg", "webp") and found[1] >= 0 and found[2] >= 0)


def test_a_cover_that_only_looks_like_one_is_left_out_and_said(
    ctx: DirectContext, tool: Tool, audio: Path, tmp_path: Path
) -> None:
    liar = tmp_path / "liar.png"
    liar.write_bytes(png(64, 64)[:40] + b"garbage" * 30)
    source = measure.measure(ctx, tool, str(audio / "aac.m4a"))
    made = covers.make_cover(ctx, tool, str(liar), source, str(audio / "aac.m4a"), tmp_path / "c", 1200)
    assert made.path == "" and "left out" in made.note
    liar.write_bytes(png(3000, 1500))
    made = covers.make_cover(ctx, tool, str(liar), source, str(audio / "aac.m4a"), tmp_path / "c", 1200)
    assert (made.width, made.height, made.mime) == (1200, 600, "image/jpeg")


def test_T50_malformed_files_are_answered_for_one_by_one(
    ctx: DirectContext, audio: Path, tmp_path: Path
) -> None:
    whole = (audio / "aac.m4a").read_bytes()
    bad = []
    for number, data in enumerate(
        (
            b"",
            b"x" * 100,
            whole[:900],
            whole[:40] + bytes(2000),
            b"FORM\xff\xff\xff\xffAIFFCOMM",
            b"RIFF\xff\xff\xff\xffWAVEfmt ",
        )
    ):
        for ending in ("m4a", "aiff", "wav"):
            path = tmp_path / f"{number}.{ending}"
            path.write_bytes(data)
            bad.append(str(path))
    good = str(audio / "aac.m4a")
    found = tags.read(ctx, [*bad, good])
    assert [f["path"] for f in found] == [*bad, good]
    assert sum("error" in f for f in found) >= len(bad) - 3
    assert found[-1]["fields"]["title"] == "Night Drive"


PROBE = """Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:x':
  Metadata:
    title           : {title}
  Duration: 00:04:00.00, start: 0.000000, bitrate: 129 kb/s
  Stream #0:0[0x1](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, stereo, fltp, 128 kb/s (default)
"""


@given(st.text(max_size=80))
def test_a_title_can_not_pose_as_a_stream(title: str) -> None:
    lines = [f"                    : {line}" for line in f"x\n{title}".split("\n")]
    shown = "\n".join(lines).lstrip(" :")
    found = parse_probe(PROBE.format(title=shown.replace("{", "(").replace("}", ")")))
    assert found is not None and found[0] == "aac" and found[3:5] == (44100, 2) and found[7] == 240.0


@given(st.text(max_size=300))
def test_any_metadata_text_is_read_or_left(text: str) -> None:
    assert all(len(v) <= 500 for v in parse_metadata(f";FFMETADATA1\n{text}").values())


def test_metadata_escapes() -> None:
    text = ";FFMETADATA1\ntitle=A\\=B\\;C\\\nD\nARTIST=Ü\n[CHAPTER]\ntitle=no\n"
    assert parse_metadata(text) == {"title": "A=B;C\nD", "artist": "Ü"}


def playlist(site: Site, *segments: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:3", "#EXT-X-PLAYLIST-TYPE:VOD"]
    for segment in segments:
        lines += ["#EXTINF:2.0,", segment]
    body = "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()
    return answer(200, body, Content_Type="application/vnd.apple.mpegurl", Content_Length=str(len(body)))


def test_an_hls_stream_of_aac_is_copied(
    site: Site, sync: Sync, audio: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    for number in (0, 1):
        out = tmp_path / f"{number}.ts"
        ffmpeg("-ss", str(number * 2), "-t", "2", "-i", audio / "aac.m4a", "-c", "copy", "-f", "mpegts", out)
        site.routes[f"{number}.ts"] = answer(200, out.read_bytes(), Content_Type="video/mp2t")
    site.routes["live.m3u8"] = playlist(site, "0.ts", "1.ts")
    run = sync(site.url("live.m3u8"), 'artist = "A"\ntitle = "B"')
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["files.same_audio"] == "passed" and run.outcome.data["source"]["codec"] == "aac"
    assert len(library_files(tmp_path / "home")) == 4


def test_T41_an_hls_segment_on_a_private_host_is_never_asked_for(site: Site, sync: Sync) -> None:
    site.routes["evil.m3u8"] = playlist(site, f"http://127.0.0.2:{site.port}/0.ts")
    run = sync(site.url("evil.m3u8"))
    assert isinstance(run.outcome, Blocked) and "127.0.0.2" in run.outcome.reason


def test_a_page_with_a_player_gives_its_sound_and_its_picture(site: Site, sync: Sync, tmp_path: Path) -> None:
    page = (
        "<!doctype html><html><head><title>Tin Roof</title>"
        f'<meta property="og:image" content="{site.url("cover.png")}"></head>'
        f'<body><audio src="{site.url("mp3.mp3")}"></audio></body></html>'
    )
    site.routes["page"] = answer(200, page.encode(), Content_Type="text/html")
    run = sync(site.url("page"), 'artist = "A"\ntitle = "B"')
    assert isinstance(run.outcome, Done), run.outcome
    assert site.hits["cover.png"] == 1 and gates(run)["cover.embedded"] == "passed"
    assert MP4(tmp_path / "home/music/Unassigned/A - B.m4a").tags is not None


@pytest.mark.parametrize("by", ["ffmpeg", "fpcalc"])
def test_chromaprint_tells_a_re_encode_from_another_song(
    by: str, ctx: DirectContext, tool: Tool, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    if by == "fpcalc":
        tool = replace(tool, muxers=tuple(m for m in tool.muxers if m != "chromaprint"))
    if not sound.means(tool):
        assert os.environ.get("HANDOFFD_REQUIRE_FFMPEG") != "1", f"{by} is required and not installed"
        pytest.skip(f"no {by} with chromaprint here")
    melody = "aevalsrc=0.3*sin(2*PI*t*(220+40*floor(mod(t*{a}\\,7)))):d=20:s=44100"
    ffmpeg("-f", "lavfi", "-i", melody.format(a=2), tmp_path / "a.wav")
    ffmpeg("-f", "lavfi", "-i", melody.format(a=3.3), tmp_path / "c.wav")
    ffmpeg("-i", tmp_path / "a.wav", "-c:a", "libmp3lame", "-b:a", "96k", tmp_path / "b.mp3")
    a, b, c = (
        sound.fingerprint(ctx, tool, str(tmp_path / name), tmp_path / "x.fp")
        for name in ("a.wav", "b.mp3", "c.wav")
    )
    assert a is not None and b is not None and c is not None
    same, other = sound.error_rate(a, b), sound.error_rate(a, c)
    assert same < sound.SAME < other


def test_without_any_chromaprint_nothing_is_compared_and_it_is_said(
    ctx: DirectContext, tool: Tool, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    without = replace(tool, muxers=())
    assert sound.fingerprint(ctx, without, str(audio / "aac.m4a"), tmp_path / "x.fp") is None
    found = preflight.chromaprint_finding(without)
    assert found.state == "warn" and "sound is not compared" in found.text
