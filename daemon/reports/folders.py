"""Report folders: their names, how they appear whole or not at all, and how old ones go.

``<folder>/<YYYY>/<MM>/<YYYYMMDDTHHMMSSZ>--<slug≤40>--<run id>/`` (contract.md §4). Nothing of a page's text
reaches a name but the ASCII slug, and nothing outside these folders is ever written (incidents RP-6, RP-8).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from daemon.core import ids
from daemon.core.errors import PermanentError
from daemon.core.text import slug

NAME = re.compile(r"(\d{8}T\d{6}Z)--([a-z0-9][a-z0-9-]{0,39})--([0-9a-f]{32}\.g[1-9][0-9]*)")
FILES = ("report.md", "report.html", "evidence.json")
_TEMP = re.compile(r"\.tmp-[0-9a-f]{32}\.g[1-9][0-9]*")


def home_of(root: Path, *, run: str, title: str, started: float) -> Path:
    """The folder of ``run``: the one it has already, else a new name. ``started``: epoch seconds.

    A title that is changed between two renders of one run keeps the folder, so that links stay good.
    """
    try:
        ids.split_run_id(run)
        moment = datetime.fromtimestamp(started, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise PermanentError(f"a report needs a run id and a start, got {run!r} and {started!r}") from error
    month = root / f"{moment.year:04d}" / f"{moment.month:02d}"
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    if month.is_dir():
        for entry in sorted(month.glob(f"{stamp}--*--{run}")):
            if NAME.fullmatch(entry.name):
                return entry
    return month / f"{stamp}--{slug(title[:4000])}--{run}"


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make ``folder`` hold ``files``. A reader sees the folder with all of them, or not at all.

    A folder that is there already gets each changed file replaced whole, evidence.json last. The caller
    holds the room's lock, so a temporary folder of another process can only be a dead one's.
    """
    run = folder.name.rsplit("--", 1)[-1]
    _make_parents(folder.parent)
    _sweep(folder.parent)
    if folder.is_dir():
        for name, content in files.items():
            replace(folder / name, content)
        return
    temp = folder.parent / f".tmp-{run}"
    temp.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            _write(temp / name, content)
        _sync(temp)
        temp.rename(folder)
    except OSError:  # a full disk, say: what is half there goes, and makes room
        shutil.rmtree(temp)
        raise
    _sync(folder.parent)


def replace(path: Path, content: bytes, *, mode: int = 0o600) -> bool:
    """Make ``path`` hold ``content`` atomically. False when it did already and nothing was written."""
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    temp = path.parent / f".tmp-{path.name}"
    temp.unlink(missing_ok=True)
    _write(temp, content, mode)
    temp.rename(path)
    _sync(path.parent)
    return True


def months(root: Path) -> Iterator[Path]:
    """Every month folder below ``root``, oldest first."""
    for year in _numbered(root, 4):
        yield from _numbered(year, 2)


def names(month: Path) -> list[str]:
    """Names of the report folders in a month folder, oldest first."""
    with os.scandir(month) as entries:
        return sorted(e.name for e in entries if NAME.fullmatch(e.name) and e.is_dir(follow_symlinks=False))


def stamp_of(name: str) -> float | None:
    """Epoch seconds in the name of a report folder; None when it is no such name."""
    match = NAME.fullmatch(name)
    if not match:
        return None
    try:
        return datetime.strptime(match.group(1), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def expire(root: Path, *, before: float) -> list[Path]:
    """Remove the reports whose name says that they began before ``before`` (epoch s); return their folders.

    A folder into which somebody put anything of their own is theirs and stays as it is.
    """
    removed = []
    for month in list(months(root)):
        for name in names(month):
            began = stamp_of(name)
            folder = month / name
            if began is not None and began < before and _remove(folder):
                removed.append(folder)
        for empty in (month, month.parent):
            if not any(empty.iterdir()):
                empty.rmdir()
    return removed


def _remove(folder: Path) -> bool:
    ours = {*FILES, *(f".tmp-{name}" for name in FILES)}
    found = list(folder.iterdir())
    if any(path.name not in ours or path.is_dir() for path in found):
        return False
    for path in found:
        path.unlink()
    folder.rmdir()
    return True


def _numbered(folder: Path, digits: int) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        real = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    return [folder / name for name in real if re.fullmatch(rf"[0-9]{{{digits}}}", name)]


def _make_parents(month: Path) -> None:
    for folder in (month.parent.parent, month.parent, month):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync(folder.parent)


def _sweep(month: Path) -> None:
    """Remove what a killed process left half-made."""
    with os.scandir(month) as entries:
        dead = [e.path for e in entries if _TEMP.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    for path in dead:
        shutil.rmtree(path)


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
