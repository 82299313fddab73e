"""Put a finished set of files into the library: each whole, all or none, nothing of another's overwritten.

How a file appears: from the work folder by a hard link when both are on one file system (the work folder is
removed after the run, so the library's name stays the only one), else by a copy under a temporary name in the
target folder. Both ways it is synced first, and the name appears in one step that fails if it is taken. The
backup is always bytes of its own: a later write of tags must not reach both (research/music.md §5.6).

A temporary file is locked by its writer; one that nobody locks is a dead writer's, and is swept.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.sdk import BlockedError, Context, TransientError
from handlers.music import names, preflight, tags
from handlers.music.download import sha256_of
from handlers.music.library import Library
from handlers.music.model import Checked, Placed, Placement, Track
from handlers.music.settings import EXTENSIONS, Settings

LOCK = ".handoffd.lock"
TRASH = "_trash"
"""Below a root: what was set aside, by track id. Nothing in it is ever deleted by us."""
_FICLONE = 0x40049409
"""Linux: share the blocks of another file (Btrfs, XFS)."""


@dataclass(frozen=True, slots=True)
class _Target:
    format: str
    source: Path
    path: Path
    sha256: str
    taken: Path | None
    """An entry of the folder that has this name, perhaps in other case."""
    aside: Path | None = None
    """Where ``taken`` goes first: the index calls it ours, but its own tag does not say so (any more)."""


def place(
    ctx: Context, checked: Sequence[Checked], track: Track, settings: Settings, home: Path
) -> Placement:
    """Step: the whole set under its names, or nothing.

    Doing it again finds what is there by hash or by our own tag. Raises BlockedError when a folder can't be
    written, its disk is full, or every name is taken by something else.
    """
    roots: dict[str, Path] = {f: settings.output_folder(home) for f in settings.formats}
    if "backup" in roots:
        roots["backup"] = settings.backup_folder(home)
    preflight.still_there(settings, home)
    try:
        with _locked(settings.output_folder(home)):
            with Library(settings.index_file(home)) as library:
                recorded = set(library.paths_of(track.id))
            suffix, targets = _choose(ctx, checked, track, settings, roots, recorded)
            folders = sorted({t.path.parent for t in targets})
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                sweep(folder)
            before = {str(f): count(f) for f in folders}
            placed = _place_all(targets)
            after = {str(f): count(f) for f in folders}
    except OSError as error:
        raise _explained(error) from error
    return Placement(files=placed, suffix=suffix, before=before, after=after)


def _explained(error: OSError) -> BlockedError | TransientError:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BlockedError(f"no space left in the music folder{where}", hint="free space")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return BlockedError(
            f"the music folder can't be written{where}", hint="correct its rights, or music.output"
        )
    if error.errno in (errno.ENOTCONN, errno.EIO, errno.ENODEV, errno.ESTALE, errno.ENXIO):
        return TransientError(f"the music folder's volume does not answer{where}: {error.strerror}")
    return TransientError(f"placing the files failed{where}: {error.strerror}")


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One placement at a time in a library: choosing a name and taking it must not interleave."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sources_of(checked: Sequence[Checked], formats: Sequence[str]) -> dict[str, Checked]:
    """Format → the checked file that it is placed from; the backup is placed from the M4A."""
    by_format = {c.format: c for c in checked}
    return {f: by_format["m4a" if f == "backup" else f] for f in formats}


def _choose(
    ctx: Context,
    checked: Sequence[Checked],
    track: Track,
    settings: Settings,
    roots: Mapping[str, Path],
    recorded: set[str],
) -> tuple[str, list[_Target]]:
    """The first name that no file of another track has, in any of the formats."""
    sources = sources_of(checked, settings.formats)
    foreign: list[str] = []
    for suffix in names.suffixes(track):
        targets = []
        for kind, item in sources.items():
            layout = settings.layouts.get(kind, settings.layout)
            path = roots[kind] / names.relative_path(layout, track, kind, suffix)
            taken = entry_like(path)
            targets.append(_Target(kind, Path(item.path), taken or path, item.sha256, taken))
        unknown = [t for t in targets if t.taken is not None and sha256_of(t.taken) != t.sha256]
        found = tags.read(ctx, [str(t.path) for t in unknown])
        unsigned = {f["path"] for f in found if f.get("custom", {}).get(tags.OWN_TAG) != track.id}
        foreign = sorted(unsigned - recorded)
        if not foreign:
            trash = {str(t.path): roots[t.format] / TRASH / track.id / t.path.name for t in targets}
            return suffix, [
                replace(t, aside=trash[str(t.path)] if str(t.path) in unsigned else None) for t in targets
            ]
    raise BlockedError(
        f"every name for this track is taken by another file: {foreign[0]}", hint="move that file away"
    )


def entry_like(path: Path) -> Path | None:
    """The entry of ``path``'s folder that has its name, or that some file system would take for it."""
    if path.is_symlink() or path.exists():
        return path
    try:
        with os.scandir(path.parent) as entries:
            return next((Path(e.path) for e in entries if names.same_name(e.name, path.name)), None)
    except FileNotFoundError:
        return None


def count(folder: Path) -> int:
    """Audio files that lie in a folder, ours or not."""
    endings = tuple(f".{e}" for e in set(EXTENSIONS.values()))
    with os.scandir(folder) as entries:
        return sum(1 for e in entries if e.name.lower().endswith(endings) and not e.name.startswith("."))


def _place_all(targets: Sequence[_Target]) -> tuple[Placed, ...]:
    fresh: list[Path] = []
    out: list[Placed] = []
    try:
        for target in targets:
            how = _place_one(target)
            if how == "new":
                fresh.append(target.path)
            size = target.path.stat().st_size
            out.append(
                Placed(format=target.format, path=str(target.path), how=how, sha256=target.sha256, bytes=size)
            )
        for folder in {t.path.parent for t in targets}:
            sync_folder(folder)
    except BaseException:
        # All or none: what this call brought in goes out again. A kill here is repaired by the next attempt.
        for path in fresh:
            path.unlink(missing_ok=True)
        raise
    return tuple(out)


def _place_one(target: _Target) -> str:
    if target.taken is not None and sha256_of(target.path) == target.sha256:
        return "there"
    own_bytes = target.format == "backup"
    if target.taken is None and not own_bytes and _linked(target.source, target.path):
        return "new"
    with _temporary(target.path) as temporary:
        copy(target.source, temporary)
        if sha256_of(temporary) != target.sha256:
            raise TransientError(f"the copy in {target.path.parent} does not have the bytes it should have")
        if target.aside is not None:
            _set_aside(target.path, target.aside)
            appear(temporary, target.path)
            return "replaced"
        if target.taken is not None:
            temporary.replace(target.path)  # ours, of the same track: its tag was read before
            return "replaced"
        appear(temporary, target.path)
    return "new"


def _set_aside(path: Path, aside: Path) -> None:
    """Into the library's trash, under a name that is free there: what may be a person's is not destroyed."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    free = (aside, *(aside.with_name(f"{aside.stem}~{n}{aside.suffix}") for n in range(1, 100)))
    path.rename(next(p for p in free if not p.exists()))


def _linked(source: Path, path: Path) -> bool:
    """Whether the finished file could be given its name by a link."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without links
        return False
    return True


def appear(temporary: Path, path: Path) -> None:
    """Give a finished file its name, in one step, and never over another file.

    Raises FileExistsError when the name was taken meanwhile.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # No links on this file system (exFAT, some network shares). The library's lock keeps our own runs
        # apart; what another program does between these two lines is the rest that remains.
        if path.exists():
            raise FileExistsError(errno.EEXIST, "the name is taken", str(path)) from None
        temporary.rename(path)
        return
    temporary.unlink()


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A short name beside ``path``, locked while it is written; gone afterwards, whatever happens."""
    temporary = path.parent / f"{names.TEMPORARY}{os.urandom(4).hex()}.tmp"
    with temporary.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """A file to another name, also across file systems; never over another, never half.

    Raises FileExistsError when the name is taken.
    """
    if target.exists():
        raise FileExistsError(errno.EEXIST, "the name is taken", str(target))
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with _temporary(target) as temporary:
            copy(source, temporary)
            appear(temporary, target)
        source.unlink()
    sync_folder(target.parent)


def sweep(folder: Path) -> list[str]:
    """Remove temporary files whose writer is dead; their names."""
    swept = []
    for path in folder.glob(f"{names.TEMPORARY}*.tmp"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            swept.append(path.name)
    return swept


def copy(source: Path, target: Path) -> None:
    """Bytes of its own for ``target`` (which exists, empty), synced: shared blocks where the disk can."""
    with source.open("rb") as read, target.open("r+b") as write:
        if not _cloned(read.fileno(), write.fileno()):
            shutil.copyfileobj(read, write, 1 << 20)
        write.flush()
        os.fsync(write.fileno())


def _cloned(read: int, write: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(write, _FICLONE, read)
    except OSError:  # this file system does not share blocks
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that can't sync folders
            raise
    finally:
        os.close(handle)
