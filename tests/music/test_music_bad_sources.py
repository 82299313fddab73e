"""Bad sources: each ends as it should, says why, leaves no file, and the guard lets nothing through."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from daemon.sdk import Blocked, Failed, Retry
from handlers.music import download
from tests.music.conftest import Site, Sync, answer, endless, gates, library_files

ROOT = Path(__file__).parents[2]


def test_a_404_fails_with_the_host_and_the_code(site: Site, sync: Sync, tmp_path: Path) -> None:
    run = sync(site.url("gone.mp3"))
    assert isinstance(run.outcome, Failed)
    assert "127.0.0.1 answers 404 Not Found" in run.outcome.reason and run.outcome.hint
    assert gates(run)["source.resolved"] == "failed"
    assert run.outcome.data["phases"][2]["findings"][0]["state"] == "failed"
    assert library_files(tmp_path / "home") == []


def test_a_text_file_called_mp3_is_not_audio(site: Site, sync: Sync, tmp_path: Path) -> None:
    run = sync(site.url("text.mp3"))
    assert isinstance(run.outcome, Failed)
    assert run.outcome.reason == "not audio: the source gave plain text"
    assert gates(run)["download.decodes"] == "failed" and library_files(tmp_path / "home") == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("page.html", "not audio"),
        ("cut.m4a", "damaged"),
        ("broken.m4a", "a"),
        ("cover.png", "not audio"),
    ],
)
def test_what_does_not_decode_to_its_end_is_never_placed(
    site: Site, sync: Sync, tmp_path: Path, path: str, said: str
) -> None:
    run = sync(site.url(path))
    assert isinstance(run.outcome, Failed), run.outcome
    assert said in run.outcome.reason
    assert library_files(tmp_path / "home") == []


def test_an_html_error_page_with_an_audio_type_is_not_audio(site: Site, sync: Sync) -> None:
    site.routes["song.mp3"] = answer(200, b"<html><body>sorry</body></html>" * 50, Content_Type="audio/mpeg")
    run = sync(site.url("song.mp3"))
    assert isinstance(run.outcome, Failed) and run.outcome.reason.startswith(
        "not audio: the source gave an HTML"
    )


def test_a_503_is_tried_again_at_the_named_time(site: Site, sync: Sync) -> None:
    site.routes["busy.mp3"] = answer(503, Retry_After="77")
    run = sync(site.url("busy.mp3"))
    assert isinstance(run.outcome, Retry) and run.outcome.after == 77.0
    assert gates(run)["source.resolved"] == "unknown"  # a passing fault proves nothing


def test_nobody_listening_is_tried_again(sync: Sync) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run = sync(f"http://127.0.0.1:{port}/x.mp3")
    assert isinstance(run.outcome, Retry) and "127.0.0.1" in run.outcome.reason


def test_a_transfer_that_breaks_off_is_tried_again(site: Site, sync: Sync, audio: Path) -> None:
    body = (audio / "aac.m4a").read_bytes()
    site.routes["half.m4a"] = answer(
        200, body[: len(body) // 2], Content_Type="audio/mp4", Content_Length=str(len(body))
    )
    run = sync(site.url("half.m4a"))
    assert isinstance(run.outcome, Retry), run.outcome


def test_an_endless_stream_stops_at_the_size_limit(site: Site, sync: Sync, tmp_path: Path) -> None:
    site.routes["radio.mp3"] = endless()
    run = sync(site.url("radio.mp3"), max_bytes=3 << 20)
    assert isinstance(run.outcome, Failed) and "max_bytes" in run.outcome.reason
    left = sum(p.stat().st_size for p in (tmp_path / "work").rglob("*") if p.is_file())
    assert left <= (3 << 20) + (1 << 20)


def test_a_file_that_says_it_is_too_large_is_not_fetched(site: Site, sync: Sync) -> None:
    site.routes["big.mp3"] = answer(
        200, b"\xff\xfb\x90\x00" * 64, Content_Type="audio/mpeg", Content_Length="9" * 10
    )
    run = sync(site.url("big.mp3"), max_bytes=1 << 20)
    assert isinstance(run.outcome, Failed), run.outcome  # yt-dlp calls this a success without a file


def test_a_drip_ends_at_the_time_limit(site: Site, sync: Sync) -> None:
    site.routes["drip.mp3"] = endless(pause=0.05, size=64)
    began = time.monotonic()
    run = sync(site.url("drip.mp3"), download_timeout=2.0)
    assert isinstance(run.outcome, Retry) and "timeout" in run.outcome.reason
    assert time.monotonic() - began < 12


class Listener:
    """A socket that must never be reached."""

    def __init__(self, host: str) -> None:
        self.socket = socket.create_server((host, 0))
        self.port = self.socket.getsockname()[1]
        self.reached = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.reached += 1
            connection.close()


SPELLINGS = (
    "http://127.0.0.2:{port}/x.mp3",
    "http://2130706434:{port}/x.mp3",
    "http://0x7f000002:{port}/x.mp3",
    "http://017700000002:{port}/x.mp3",
    "http://0177.0.0.2:{port}/x.mp3",
    "http://127.2:{port}/x.mp3",
    "http://[::ffff:7f00:2]:{port}/x.mp3",
    "http://[0:0:0:0:0:ffff:127.0.0.2]:{port}/x.mp3",
    "http://[64:ff9b::7f00:2]:{port}/x.mp3",
    "http://user@127.0.0.2:{port}/x.mp3",
    "http://[::ffff:127.0.0.2]:{port}/x.mp3",
    "http://169.254.169.254/latest/meta-data/x.mp3",
    "http://[fd00::1]/x.mp3",
)


@pytest.mark.parametrize("target", SPELLINGS)
def test_T41_a_redirect_to_a_private_address_is_stopped_before_any_connection(
    site: Site, sync: Sync, target: str
) -> None:
    listener = Listener("127.0.0.2")
    try:
        location = target.format(port=listener.port)
        site.routes["moved.mp3"] = answer(302, Location=location)
        run = sync(site.url("moved.mp3"))
    finally:
        listener.socket.close()
    assert isinstance(run.outcome, Blocked), run.outcome
    assert "network guard" in run.outcome.reason and "music.allow_hosts" in run.outcome.unblock
    assert listener.reached == 0


def test_T41_a_name_whose_dns_answer_is_private_is_stopped_before_any_connection(
    site: Site, sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name looks public, what it resolves to is not. Only the child's resolver is stood in for."""
    listener = Listener("127.0.0.2")
    child = tmp_path / "download.py"
    child.write_text(
        "import socket, sys\n"
        "real = socket.getaddrinfo\n"
        "socket.getaddrinfo = lambda host, *a, **k: real("
        "'127.0.0.2' if str(host).endswith('.example') else host, *a, **k)\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from handlers.music.children import download\n"
        "sys.exit(download.main())\n"
    )
    monkeypatch.setattr(download, "CHILD", child)
    try:
        location = f"http://cdn.music.example:{listener.port}/x.mp3"
        site.routes["moved.mp3"] = answer(302, Location=location)
        run = sync(site.url("moved.mp3"))
    finally:
        listener.socket.close()
    assert isinstance(run.outcome, Blocked), run.outcome
    assert "network guard" in run.outcome.reason and "127.0.0.2 is in 127.0.0.0/8" in run.outcome.reason
    assert listener.reached == 0


def test_a_private_address_must_be_allowed_by_the_settings(site: Site, sync: Sync) -> None:
    run = sync(site.url("aac.m4a"), allow_hosts=())
    assert isinstance(run.outcome, Blocked)
    assert "add 127.0.0.1 to music.allow_hosts" in run.outcome.unblock
    assert not site.hits


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ytsearch:x",
        "-o/tmp/x",
        "--exec=id",
        "ftp://127.0.0.1/x.mp3",
        "concat:a|b",
        "",
        "http://127.0.0.1\\@soundcloud.com/x",
        "http://user:pw@127.0.0.1/x.mp3",
        "http://127.0.0.1/x\n.mp3",
        "http://①②⑦.⓪.⓪.①/x.mp3",
    ],
)
def test_T38_what_is_no_plain_web_address_is_refused_before_anything_starts(sync: Sync, url: str) -> None:
    run = sync(url, 'mode = "url"')
    assert isinstance(run.outcome, Failed), run.outcome
    assert "download" not in run.context.steps


def test_T43_a_planted_configuration_and_plugin_are_not_loaded(
    site: Site, sync: Sync, tmp_path: Path
) -> None:
    marker = tmp_path / "pwned"
    home = tmp_path / "home"
    plugin = home / "yt_dlp_plugins/extractor/evil.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(f"open({str(marker)!r}, 'w').close()\n")
    (home / "yt-dlp.conf").write_text(f"--exec 'touch {marker}'\n")
    run = sync(site.url("text.mp3"))
    assert isinstance(run.outcome, Failed) and not marker.exists()


def test_a_full_disk_is_said_as_one(site: Site, sync: Sync) -> None:
    run = sync(site.url("aac.m4a"), min_free=1 << 60)
    assert isinstance(run.outcome, Blocked) and "music.min_free" in run.outcome.reason


def test_beets_1934_a_volume_that_is_not_mounted_blocks_and_nothing_is_written(
    site: Site, sync: Sync, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    first = sync(site.url("aac.m4a"), output=str(volume / "music"))
    assert len(first.outcome.data["files"]) == 4
    (volume / "music").rename(tmp_path / "unplugged")
    (volume / "music").mkdir()  # the bare mount point
    second = sync(site.url("mp3.mp3"), output=str(volume / "music"))
    assert isinstance(second.outcome, Blocked) and "mount" in second.outcome.unblock
    assert list((volume / "music").iterdir()) == []
    third = sync(site.url("mp3.mp3"), output=str(tmp_path / "nowhere/music"))
    assert isinstance(third.outcome, Blocked) and not (tmp_path / "nowhere").exists()
