"""The example in docs/handlers.md, built, installed as somebody else's package, found and run by us."""

import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon import service
from daemon.core.status import Status
from daemon.core.task import Draft
from daemon.settings.load import load

ROOT = Path(__file__).resolve().parents[2]
DOC = (ROOT / "docs" / "handlers.md").read_text()
SOURCE = re.search(r"```python\n(\"\"\"Check that.*?)```", DOC, re.DOTALL).group(1)
ENTRY = re.search(r"```toml\n(.*?)```", DOC, re.DOTALL).group(1)


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204 if self.path == "/gone" else 200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("linkcheck")
    (source / "handoffd_linkcheck.py").write_text(SOURCE)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "handoffd-linkcheck"\nversion = "1.2"\n'
        f"{ENTRY}\n"
        '[tool.hatch.build.targets.wheel]\ninclude = ["handoffd_linkcheck.py"]\n'
    )
    target = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*argv, "--no-build-isolation", "--target", str(target), str(source)], check=True)
    return target


def daemon_once(home: Path, extra: Path) -> str:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{extra}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "--home", str(home), "run", "--once", "--no-web"],
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.stderr


def test_the_example_has_24_lines() -> None:
    assert len(SOURCE.strip().splitlines()) == 24


def test_a_third_partys_handler_is_found_and_its_tasks_are_judged(
    tmp_path: Path, installed: Path, site: str
) -> None:
    loaded = load(home=tmp_path, env={"PATH": os.environ["PATH"]})
    wanted = {
        "good": (f'urls = ["{site}/a", "{site}/b"]', Status.COMPLETED),
        "one bad": (f'urls = ["{site}/a", "{site}/gone"]', Status.FAILED),
        "nothing": ("urls = []", Status.REVIEW),
        "wrong": ("urls = 5", Status.BLOCKED),
    }
    with service.session(loaded) as short:
        ids = {
            name: short.board.create(Draft(title=name, handler="link-check", parameters=text)).id
            for name, (text, _) in wanted.items()
        }
    log = daemon_once(tmp_path, installed)
    with service.session(loaded) as short:
        pages = {name: short.board.get(task) for name, task in ids.items()}
        assert {n: p.status for n, p in pages.items()} == {n: s for n, (_, s) in wanted.items()}, log
        run = short.store.runs(task=ids["good"])[0]
        assert [s.name for s in short.store.steps(run.run)][:2] == [f"get {site}/a", f"get {site}/b"]
        assert {e.subject: e.data["status"] for e in short.store.evidence(run.run)} == {
            f"{site}/a": 200,
            f"{site}/b": 200,
        }
    assert "failed for" in pages["one bad"].why and "Parameters" in pages["wrong"].why


def test_a_broken_handler_is_recorded_and_the_daemon_lives_on(tmp_path: Path, site: str) -> None:
    broken = tmp_path / "site"
    info = broken / "handoffd_broken-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: handoffd-broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[handoffd.handlers]\nbroken = handoffd_broken:Broken\n")
    (broken / "handoffd_broken.py").write_text("raise RuntimeError('will not load')\n")
    home = tmp_path / "home"
    loaded = load(home=home, env={"PATH": os.environ["PATH"]})
    with service.session(loaded) as short:
        task = short.board.create(Draft(title="x", handler="broken")).id
    daemon_once(home, broken)
    with service.session(loaded) as short:
        page = short.board.get(task)
    assert page.status is Status.READY
    assert "handler broken is not usable: RuntimeError: will not load" in page.why
