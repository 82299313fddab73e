"""Mode url, start to end: real yt-dlp, ffmpeg and mutagen against a real web server."""

from __future__ import annotations

import array
import shutil
import subprocess
import wave
from pathlib import Path

import pytest
from mutagen.aiff import AIFF
from mutagen.mp4 import MP4
from mutagen.wave import WAVE

from daemon.sdk import Done, NeedsReview
from handlers.music import LIBRARY_GATES
from handlers.music.measure import wav_format_tag
from handlers.music.model import Tool
from tests.music.conftest import Site, Sync, answer, gates, library_files

SET = [
    "Unassigned/Wren Hollow - Night Drive.aiff",
    "Unassigned/Wren Hollow - Night Drive.m4a",
    "Unassigned/Wren Hollow - Night Drive.wav",
    "_backup/Unassigned/Wren Hollow - Night Drive.m4a",
]


def packets(tool: Tool, path: Path) -> bytes:
    """A hash of a file's audio packets, by ffmpeg alone."""
    command = [tool.path, "-v", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_an_aac_source_becomes_four_proved_files_without_an_encode(
    site: Site, sync: Sync, audio: Path, tmp_path: Path, tool: Tool
) -> None:
    run = sync(site.url("aac.m4a"))
    assert isinstance(run.outcome, Done), run.outcome
    assert library_files(tmp_path / "home") == SET
    not_passed = {g for g, r in gates(run).items() if r != "passed"}
    assert not_passed == {"cover.embedded", "eagle.imported", "tracks.row", *(g.name for g in LIBRARY_GATES)}
    assert {gates(run)[g] for g in not_passed} == {"not_applicable"}
    data = run.outcome.data
    assert {f["format"] for f in data["files"]} == {"m4a", "aiff", "wav", "backup"}
    assert all(abs(f["difference_s"]) <= 0.05 and f["lossy_source"] for f in data["files"])
    assert [p["name"].split(":")[0] for p in data["phases"]] == ["Phase 0", "Phase 0.5", "Phase 1", "Phase 2"]
    assert all(p["findings"] for p in data["phases"])
    placed, backup = tmp_path / "home/music" / SET[1], tmp_path / "home/music" / SET[3]
    assert packets(tool, placed) == packets(tool, audio / "aac.m4a")
    assert backup.read_bytes() == placed.read_bytes()
    assert backup.stat().st_ino != placed.stat().st_ino  # a later write of tags must not reach both


def test_tags_are_in_the_containers_where_others_look_for_them(
    site: Site, sync: Sync, tmp_path: Path
) -> None:
    run = sync(site.url("aac.m4a"), 'playlist = "Late / Night"\nalbum = "Höhen & Täler"')
    assert isinstance(run.outcome, Done), run.outcome
    root = tmp_path / "home/music/Late - Night"
    track = run.outcome.data["track"]["id"]
    m4a = MP4(root / "Wren Hollow - Night Drive.m4a").tags
    assert m4a is not None
    assert m4a["\xa9nam"] == ["Night Drive"] and m4a["\xa9ART"] == ["Wren Hollow"]
    assert bytes(m4a["----:com.apple.iTunes:handoffd:track"][0]).decode() == track
    assert bytes(m4a["----:com.apple.iTunes:SOURCE_LOSSY"][0]) == b"1"
    for kind, name in ((AIFF, "aiff"), (WAVE, "wav")):
        tags = kind(root / f"Wren Hollow - Night Drive.{name}").tags
        assert tags is not None and tags.version[:2] == (2, 3)
        assert tags["TIT2"].text == ["Night Drive"] and tags["TALB"].text == ["Höhen & Täler"]
        assert tags["TXXX:handoffd:track"].text == [track]
        assert tags["TXXX:SOURCE_CODEC"].text == ["aac-lc"]
        assert "no more information" in tags["TXXX:ENCODING"].text[0]
    assert tags["TXXX:REPLAYGAIN_TRACK_GAIN"].text[0].endswith(" dB")
    assert 0 < float(tags["TXXX:REPLAYGAIN_TRACK_PEAK"].text[0]) < 1
    riff = (root / "Wren Hollow - Night Drive.wav").read_bytes()
    assert b"LIST" in riff and b"INAM\x0c\x00\x00\x00Night Drive\x00" in riff
    assert int.from_bytes(riff[4:8], "little") == len(riff) - 8


def test_opus_is_encoded_once_and_starts_when_it_should(
    site: Site, sync: Sync, tmp_path: Path, tool: Tool
) -> None:
    run = sync(site.url("opus.webm"))
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["files.same_audio"] == "passed"
    root = tmp_path / "home/music/Unassigned"
    offset = lag(tool, root / "Wren Hollow - Night Drive.wav", root / "Wren Hollow - Night Drive.m4a")
    assert abs(offset) <= 48  # ffmpeg before 7 gave 309 samples = 7 ms (research/music.md §5.6)
    with wave.open(str(root / "Wren Hollow - Night Drive.wav")) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (48000, 2, 2)


def lag(tool: Tool, left: Path, right: Path) -> int:
    """Samples by which ``right`` is late, by the best fit over the first second."""

    def samples(path: Path) -> list[int]:
        command = [
            tool.path,
            "-v",
            "error",
            "-i",
            str(path),
            "-t",
            "1.2",
            "-ac",
            "1",
            "-ar",
            "48000",
            "-f",
            "s16le",
            "-",
        ]
        out = array.array("h")
        out.frombytes(subprocess.run(command, check=True, capture_output=True).stdout)
        return out.tolist()

    a, b = samples(left), samples(right)
    window = a[20000:24000]

    def miss(shift: int) -> int:
        return sum(abs(x - y) for x, y in zip(window, b[20000 + shift : 24000 + shift], strict=True))

    return min(range(-400, 401), key=miss)


def test_an_mp3_keeps_its_picture_and_rate(site: Site, sync: Sync, tmp_path: Path) -> None:
    run = sync(site.url("mp3.mp3"))
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["cover.embedded"] == "passed"
    cover = MP4(tmp_path / "home/music/Unassigned/Oda Vale - Tin Roof.m4a")["covr"][0]
    assert bytes(cover[:3]) == b"\xff\xd8\xff"


@pytest.mark.parametrize(("name", "width"), [("deep.wav", 3), ("float.wav", 4)])
def test_a_lossless_source_keeps_its_depth_and_a_plain_header(
    name: str, width: int, site: Site, sync: Sync, tmp_path: Path
) -> None:
    run = sync(site.url(name), 'artist = "A"\ntitle = "B"')
    assert isinstance(run.outcome, Done), run.outcome
    path = tmp_path / "home/music/Unassigned/A - B.wav"
    with wave.open(str(path)) as wav:
        assert wav.getsampwidth() == width
    assert wav_format_tag(path) == 1
    assert not any(f["lossy_source"] for f in run.outcome.data["files"])


def test_MU_10_two_tracks_of_one_name_stand_side_by_side(site: Site, sync: Sync, tmp_path: Path) -> None:
    names = 'artist = "Same"\ntitle = "Name"\n'
    first = sync(site.url("aac.m4a"), names)
    before = (tmp_path / "home/music/Unassigned/Same - Name.m4a").read_bytes()
    second = sync(site.url("mp3.mp3"), names + 'duplicates = "keep"')
    assert isinstance(first.outcome, Done) and isinstance(second.outcome, Done), second.outcome
    assert (tmp_path / "home/music/Unassigned/Same - Name.m4a").read_bytes() == before
    suffix = f" [{second.outcome.data['track']['id'][:6]}]"
    assert f"Unassigned/Same - Name{suffix}.wav" in library_files(tmp_path / "home")
    assert len(library_files(tmp_path / "home")) == 8


def test_the_same_url_again_downloads_nothing_and_checks_the_files_anew(
    site: Site, sync: Sync, tmp_path: Path
) -> None:
    first = sync(site.url("aac.m4a"))
    hits = site.hits["aac.m4a"]
    again = sync(site.url("aac.m4a"))
    assert isinstance(again.outcome, Done), again.outcome
    assert site.hits["aac.m4a"] == hits and library_files(tmp_path / "home") == SET
    assert all(r in ("passed", "not_applicable") for r in gates(again).values()), gates(again)
    assert [f["sha256"] for f in again.outcome.data["files"]] and "already" in again.outcome.summary
    assert isinstance(first.outcome, Done)


def test_the_same_recording_from_another_address_adds_nothing(
    site: Site, sync: Sync, audio: Path, tmp_path: Path
) -> None:
    site.routes["copy.m4a"] = answer(200, (audio / "aac.m4a").read_bytes(), Content_Type="audio/mp4")
    sync(site.url("aac.m4a"))
    run = sync(site.url("copy.m4a"))
    assert isinstance(run.outcome, Done), run.outcome
    assert "every sample is equal" in run.outcome.summary and library_files(tmp_path / "home") == SET


def test_a_near_match_that_can_not_be_heard_apart_is_never_merged(
    site: Site, sync: Sync, tmp_path: Path
) -> None:
    sync(site.url("aac.m4a"), 'artist = "X"\ntitle = "Y"')
    run = sync(site.url("mp3.mp3"), 'artist = "X"\ntitle = "Y"')
    assert isinstance(run.outcome, NeedsReview)  # four seconds are too little for a fingerprint to decide
    assert run.outcome.data["dedup"]["level"] == "key"
    assert len(library_files(tmp_path / "home")) == 4


def test_a_set_that_lost_or_damaged_files_is_made_whole_again(site: Site, sync: Sync, tmp_path: Path) -> None:
    sync(site.url("aac.m4a"))
    for lost in (0, 3):
        (tmp_path / "home/music" / SET[lost]).unlink()
    path = tmp_path / "home/music" / SET[2]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    run = sync(site.url("aac.m4a"))
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["placed.atomically"] == "passed"
    aside = f"_trash/{run.outcome.data['track']['id']}/{path.name}"
    assert library_files(tmp_path / "home") == sorted([*SET, aside])
    assert path.stat().st_size == len(data)  # and what was there is kept: it may have been a person's doing


def test_a_title_from_hell_stays_inside_the_folder(site: Site, sync: Sync, tmp_path: Path) -> None:
    title = "../../../etc/passwd\\u202e CON: \\\\ <script> " + "长" * 300
    run = sync(site.url("aac.m4a"), f'title = "{title}"\nartist = "/./.."\nplaylist = ".."')
    assert isinstance(run.outcome, Done), run.outcome
    files = library_files(tmp_path / "home")
    assert len(files) == 4
    for name in files:
        assert all(len(part.encode()) <= 240 and part not in ("..", ".") for part in Path(name).parts)
    assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["library.db", "music"]


def test_formats_can_be_chosen(site: Site, sync: Sync, tmp_path: Path) -> None:
    run = sync(site.url("aac.m4a"), formats=("wav",), layout="{artist}/{album}/{title} {id}")
    assert isinstance(run.outcome, Done), run.outcome
    (only,) = library_files(tmp_path / "home")
    assert only.startswith("Wren Hollow/Roads/Night Drive ") and only.endswith(".wav")
    assert gates(run)["files.m4a"] == "not_applicable"


def test_a_backup_on_another_file_system_is_copied(site: Site, sync: Sync, tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    root = shm / f"handoffd-test-{tmp_path.name}"
    root.mkdir()
    try:
        run = sync(site.url("aac.m4a"), output=str(root / "lib"), backup=str(root / "bak"), min_free=0)
        assert isinstance(run.outcome, Done), run.outcome
        assert len([p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")]) == 4
        assert not list(root.rglob(".handoffd-*.tmp"))
    finally:
        shutil.rmtree(root)
