"""Placement: all or none, never over another's file, and whole after a kill at any call into the system."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from daemon.sdk import BlockedError
from daemon.testing import DirectContext
from handlers.music import place
from handlers.music.download import sha256_of
from handlers.music.library import Library
from handlers.music.model import Checked, Placement, Track
from tests.music.conftest import Site, library_files

ROOT = Path(__file__).parents[2]
TRACK = Track(
    id="0123456789abcdef0123",
    key="url:x",
    artist="A",
    title="B",
    version="",
    album="",
    date="",
    genre="",
    isrc="",
    playlist="P",
    url="",
    duration_s=1.0,
)
SET = ["P/A - B.aiff", "P/A - B.m4a", "P/A - B.wav", "_backup/P/A - B.m4a"]


def rendered(folder: Path) -> tuple[Checked, ...]:
    """Three files that stand for a checked render."""
    folder.mkdir(exist_ok=True)
    out = []
    for kind in ("m4a", "aiff", "wav"):
        path = folder / f"track.{kind}"
        path.write_bytes(kind.encode() * 5000)
        out.append(
            Checked(
                format=kind,
                path=str(path),
                bytes=path.stat().st_size,
                sha256=sha256_of(path),
                codec="",
                seconds=1.0,
                samples=1,
                pcm="",
                difference_s=0.0,
                problems=(),
            )
        )
    return tuple(out)


def put(ctx: DirectContext) -> Placement:
    return place.place(ctx, rendered(ctx.workdir), TRACK, ctx.settings, ctx.home)


def test_a_set_is_placed_once_and_found_again(ctx: DirectContext) -> None:
    first = put(ctx)
    assert [f.how for f in first.files] == ["new"] * 4 and library_files(ctx.home) == SET
    assert sum(first.after.values()) - sum(first.before.values()) == 4
    again = put(ctx)
    assert [f.how for f in again.files] == ["there"] * 4 and library_files(ctx.home) == SET
    names = {f.format: Path(f.path) for f in again.files}
    assert names["backup"].stat().st_ino != names["m4a"].stat().st_ino


def test_another_file_of_that_name_is_left_alone_even_in_other_case(ctx: DirectContext) -> None:
    mine = ctx.home / "music/P/a - b.WAV"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"a person's own file")
    placed = put(ctx)
    assert placed.suffix == " [012345]"
    assert mine.read_bytes() == b"a person's own file" and len(library_files(ctx.home)) == 5


def test_all_or_none_when_one_folder_can_not_be_made(ctx: DirectContext) -> None:
    (ctx.home / "music").mkdir()
    (ctx.home / "music/_backup").write_text("a file where a folder should be")
    with pytest.raises(Exception, match="placing"):
        put(ctx)
    assert library_files(ctx.home) == ["_backup"]


def test_all_or_none_when_the_last_file_fails(ctx: DirectContext) -> None:
    checked = rendered(ctx.workdir)
    (ctx.workdir / "track.wav").unlink()
    with pytest.raises(Exception, match="placing"):
        place.place(ctx, checked, TRACK, ctx.settings, ctx.home)
    assert library_files(ctx.home) == []


def test_no_name_left_is_said(ctx: DirectContext) -> None:
    folder = ctx.home / "music/P"
    folder.mkdir(parents=True)
    for suffix in ("", " [012345]", " [0123456789ab]"):
        (folder / f"A - B{suffix}.m4a").write_bytes(b"other")
    with pytest.raises(BlockedError, match="every name"):
        put(ctx)


def test_a_dead_writers_temporary_file_is_swept_and_a_living_ones_is_not(ctx: DirectContext) -> None:
    folder = ctx.home / "music/P"
    folder.mkdir(parents=True)
    (folder / ".handoffd-dead0000.tmp").write_bytes(b"half")
    with place._temporary(folder / "x.wav") as living:
        put(ctx)
        assert living.exists()
    assert not list(folder.glob(".handoffd-*.tmp"))


KILL = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from handlers.music import place
from handlers.music.model import Checked, Track
from handlers.music.settings import Settings
order = json.load(sys.stdin)
left = [order["at"]]
EVENTS = ("open", "os.link", "os.rename", "os.remove", "os.mkdir", "fcntl.flock", "fcntl.ioctl")
def hook(event, args):
    if event in EVENTS:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
checked = [Checked(**{{**c, "problems": ()}}) for c in order["checked"]]
place.place(None, checked, Track(**order["track"]), Settings(), Path(order["home"]))
print("done")
"""


def killed_at(at: int, ctx: DirectContext, checked: tuple[Checked, ...]) -> bool:
    """Place in another process that kills itself at its ``at``-th system call; False = it finished."""
    order = {
        "at": at,
        "checked": [asdict(c) for c in checked],
        "track": asdict(TRACK),
        "home": str(ctx.home),
    }
    done = subprocess.run(
        [sys.executable, "-c", KILL.format(root=str(ROOT))],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def test_killed_anywhere_nothing_is_half_and_nothing_double(ctx: DirectContext) -> None:
    checked = rendered(ctx.workdir)
    whole = {c.sha256 for c in checked}
    at = kills = 0
    while killed_at(at, ctx, checked):
        kills += 1
        seen = [ctx.home / "music" / name for name in library_files(ctx.home)]
        assert all(sha256_of(p) in whole for p in seen)  # what has a name is whole, at any moment
        if kills % 3 == 0:  # the next attempt finishes; then the library is as if nothing had been
            put(ctx)
            assert library_files(ctx.home) == SET
            assert not list(ctx.home.rglob(".handoffd-*.tmp"))
            for path in seen:
                path.unlink(missing_ok=True)
            for name in library_files(ctx.home):
                (ctx.home / "music" / name).unlink()
        at += 2
    assert kills >= 10
    assert library_files(ctx.home) == SET


RUN = ROOT / "tests/music/journalled_run.py"


def test_a_whole_run_killed_at_random_moments_ends_once(site: Site, tmp_path: Path) -> None:
    rng = random.Random(20261123)
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, str(RUN), str(home), site.url("aac.m4a")]
    kills = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if kills < 5:
            time.sleep(rng.uniform(0.3, 1.2))
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        said, _ = process.communicate(timeout=60)
        if process.returncode == 0:
            break
    assert kills >= 1
    outcome = json.loads(said)
    assert outcome["kind"] == "Done", outcome
    assert len(library_files(home)) == 4
    assert not list(home.rglob(".handoffd-*.tmp"))
    with Library(home / "library.db") as library:
        assert library.size() == 1
