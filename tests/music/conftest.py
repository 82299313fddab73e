"""Real parts for the music tests: audio made by ffmpeg, and a loopback server with good and bad answers."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.sdk import RunInfo
from daemon.testing import DirectContext, HandlerRun, run_handler, sample_task
from handlers.music import MusicSync, Settings
from handlers.music.ffmpeg import find_ffmpeg
from handlers.music.model import Tool

LOOPBACK = ("127.0.0.1",)


@pytest.fixture(scope="session")
def tool() -> Tool:
    return find_ffmpeg()


@pytest.fixture(scope="session")
def ffmpeg(tool: Tool) -> Callable[..., None]:
    def call(*args: str | Path) -> None:
        subprocess.run(
            [tool.path, "-y", "-v", "error", "-nostdin", *map(str, args)], check=True, capture_output=True
        )

    return call


CHORD = (
    "aevalsrc=exprs=0.2*sin(2*PI*220*t)+0.1*sin(2*PI*{f}*t*(1+0.1*sin(t)))|0.2*sin(2*PI*330*t):s={rate}:d={d}"
)


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """A folder with 4-second tracks in the containers that sources come in."""
    root = tmp_path_factory.mktemp("audio")
    chord, high = CHORD.format(f=440, rate=44100, d=4), CHORD.format(f=523, rate=48000, d=4)
    tags = ("-metadata", "title=Night Drive", "-metadata", "artist=Wren Hollow", "-metadata", "album=Roads")
    picture = root / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=320x240:d=0.04", "-frames:v", "1", picture)
    ffmpeg("-f", "lavfi", "-i", chord, *tags, "-c:a", "aac", "-b:a", "128k", root / "aac.m4a")
    ffmpeg("-f", "lavfi", "-i", high, *tags, "-c:a", "libopus", "-b:a", "96k", root / "opus.webm")
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        CHORD.format(f=660, rate=44100, d=4),
        "-i",
        picture,
        "-map",
        "0:a",
        "-map",
        "1:v",
        "-c:v",
        "mjpeg",
        "-pix_fmt",
        "yuvj420p",
        "-metadata",
        "title=Tin Roof",
        "-metadata",
        "artist=Oda Vale",
        "-c:a",
        "libmp3lame",
        "-b:a",
        "128k",
        "-id3v2_version",
        "3",
        root / "mp3.mp3",
    )
    ffmpeg("-f", "lavfi", "-i", chord, "-c:a", "pcm_s24le", root / "deep.wav")
    ffmpeg("-f", "lavfi", "-i", chord, "-c:a", "pcm_f32le", root / "float.wav")
    whole = (root / "aac.m4a").read_bytes()
    ffmpeg("-i", root / "aac.m4a", "-c", "copy", "-movflags", "+faststart", root / "front.m4a")
    front = (root / "front.m4a").read_bytes()
    (root / "cut.m4a").write_bytes(front[: len(front) * 6 // 10])
    (root / "broken.m4a").write_bytes(whole[:2000] + bytes(len(whole) - 2000))
    (root / "text.mp3").write_text("This is a letter, not a song. " * 400)
    (root / "page.html").write_text("<!doctype html><html><body>Nothing to hear.</body></html>")
    return root


@dataclass
class Site:
    """A web server: files of a folder, and paths with behaviour. ``hits`` counts requests by path."""

    base: str
    port: int
    server: http.server.ThreadingHTTPServer
    hits: Counter[str] = field(default_factory=Counter)
    routes: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f"{self.base}/{path}"


@pytest.fixture
def site(audio: Path) -> Iterator[Site]:
    made: list[Site] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(audio))  # type: ignore[arg-type]  # the library's own

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.split("?")[0].lstrip("/")
            made[0].hits[path] += 1
            route = made[0].routes.get(path)
            # The client may stop reading: that is what some of these tests are about.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                route(self) if route else super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.append(Site(f"http://127.0.0.1:{server.server_port}", server.server_port, server))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made[0]
    server.shutdown()
    server.server_close()
    thread.join()


def answer(
    status: int, body: bytes = b"", **headers: str
) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """A route that gives one fixed answer."""

    def route(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return route


def endless(kind: str = "audio/mpeg", pause: float = 0.0, size: int = 65536) -> Callable[..., None]:
    """A route that never ends: as fast as it can, or a drip."""

    def route(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.end_headers()
        while True:
            request.wfile.write(b"\xff\xfb\x90\x00" + bytes(size))
            request.wfile.flush()
            time.sleep(pause)

    return route


Sync = Callable[..., HandlerRun]


@pytest.fixture
def sync(tmp_path: Path) -> Sync:
    """Run the handler on a URL in a home of its own; settings and Parameters can be given."""
    count = [0]

    def run(
        url: str,
        parameters: str = "",
        home: Path | None = None,
        secrets: dict[str, str] | None = None,
        **settings: object,
    ) -> HandlerRun:
        count[0] += 1
        task = sample_task(id=f"{count[0]:032x}", url=url, parameters=parameters)
        at_home = home or tmp_path / "home"
        work = tmp_path / "work" / str(count[0])
        work.mkdir(parents=True)
        at_home.mkdir(exist_ok=True)
        chosen = Settings(**{"allow_hosts": LOOPBACK, **settings})  # type: ignore[arg-type]  # a test's own
        made = context(chosen, at_home, work, task.id)
        made.secrets.update(secrets or {})
        return run_handler(MusicSync, task, at_home, context=made)

    return run


def context(settings: Settings, home: Path, work: Path, task: str = "a" * 32) -> DirectContext:
    """The shipped direct context with a work folder of its own, as the daemon gives one."""
    info = RunInfo(
        id=f"{task}.g1",
        task_id=task,
        generation=1,
        attempt=1,
        started=datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
        host="test",
    )
    return DirectContext(run=info, settings=settings, home=home, workdir=work)


@pytest.fixture
def ctx(tmp_path: Path) -> DirectContext:
    work, home = tmp_path / "ctx-work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    return context(Settings(allow_hosts=LOOPBACK), home, work)


def gates(run: HandlerRun) -> dict[str, str]:
    """Gate → result."""
    return {j.name: j.result.value for j in run.judged}


def library_files(home: Path) -> list[str]:
    """Every file below the music folder that is not hidden, relative, sorted."""
    root = home / "music"
    return sorted(
        str(p.relative_to(root))
        for p in root.rglob("*")
        if p.is_file() and not p.name.startswith(".handoffd")
    )
