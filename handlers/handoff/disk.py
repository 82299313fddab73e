"""Files of a handoff: whole or absent, never through a link, never over somebody else's.

Threats T10–T12 (research/reliability.md §2.1): links planted in an inbox, FIFOs where a file is expected,
half-written files read by a poller (incident HF-7).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from daemon.sdk import BlockedError

DIR_MODE = 0o700
FILE_MODE = 0o600
_TEMP = re.compile(r"\.tmp-[0-9a-f]{16}")


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces: the form that is hashed."""
    return msgspec.json.encode(value, order="sorted")


def pretty(value: object) -> bytes:
    """JSON for people: indented, in the order of the fields, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def plain(value: object) -> Any:
    """The JSON form as Python values: dicts, lists, text, numbers."""
    return msgspec.json.decode(msgspec.json.encode(value))


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex digest of a regular file, read in pieces. OSError for a link, a FIFO or a device."""
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is not a regular file")
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fsync_dir(path: Path) -> None:
    """Make renames and links in ``path`` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dir(path: Path) -> Path:
    """Make ``path`` (its parent exists) a private folder of ours and say so if it can't be trusted.

    Raises BlockedError when it is a link, belongs to somebody else, or others may write to it.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=DIR_MODE)
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode):
        raise BlockedError(f"{path} is not a folder", hint="remove the link or file that stands there")
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise BlockedError(
            f"{path} can be written by others", hint=f"chown it to this user and run: chmod go-w {path}"
        )
    return path


@contextmanager
def _temporary(folder: Path, data: bytes) -> Iterator[Path]:
    """A finished file under a name of its own in ``folder``, locked while we live; gone afterwards."""
    sweep(folder)
    temp, fd = _locked_temporary(folder)
    with os.fdopen(fd, "wb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(fd)
            yield temp
        finally:
            temp.unlink(missing_ok=True)


def _locked_temporary(folder: Path) -> tuple[Path, int]:
    while True:
        temp = folder / f".tmp-{secrets.token_hex(8)}"
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return temp, fd
        os.close(fd)  # a sweep met it before it was locked


def sweep(folder: Path) -> None:
    """Remove the temporary files that dead writers left in ``folder``: those that nobody locks."""
    with os.scandir(folder) as entries:
        found = [e.path for e in entries if _TEMP.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
    for path in found:
        with suppress(FileNotFoundError, BlockingIOError):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(path).unlink()
            finally:
                os.close(fd)


def write_over(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one rename; a link at that name is replaced, never followed."""
    with _temporary(path.parent, data) as temp:
        temp.replace(path)
    fsync_dir(path.parent)


def write_once(path: Path, data: bytes) -> bool:
    """Put ``data`` at ``path`` if nothing is there; False when something is. Of two racers one wins."""
    with _temporary(path.parent, data) as temp:
        try:
            os.link(temp, path, follow_symlinks=False)
        except FileExistsError:
            return False
    fsync_dir(path.parent)
    return True


def write_into(folder: Path, files: dict[str, bytes]) -> None:
    """Write new files below a folder of ours that nobody sees yet, and make them durable."""
    folders = {folder}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(mode=DIR_MODE, exist_ok=True)
        folders.add(path.parent)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for each in folders:
        fsync_dir(each)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that the daemon itself wrote; {} when there is none. ValueError on a foreign one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    with os.fdopen(fd, "rb") as file:
        value = msgspec.json.decode(file.read())
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    return value


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file; it is freed when the process dies."""
    fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
