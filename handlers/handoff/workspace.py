"""The folder in which an agent works: safe relative paths, the manifest at claim time, what changed since.

The delta, not the total, is the evidence (incumbent report: library-wide counts taken for a run's result).
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
from msgspec import Meta

from handlers.handoff.disk import sha256_file

MAX_FILES = 20_000
"""Files that a manifest lists; beyond it the manifest says that it is not complete."""
MAX_HASHED = 256 * 1024 * 1024
"""Bytes hashed for one manifest; files beyond it are compared by size and time."""
SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv"})
"""Folders that tools fill by themselves: what changes there proves no work."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """State of one file: bytes, modification time (ns), SHA-256 ("" when it was not hashed)."""

    size: int
    mtime_ns: int
    sha256: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All regular files below the allowed paths of a workspace. Keys: POSIX paths relative to it."""

    files: dict[str, Entry] = {}
    complete: Annotated[bool, Meta(description="False when a limit cut it short.")] = True


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two manifests."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    complete: bool = True

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def relative(text: str) -> str:
    """A clean relative POSIX path. Raises ValueError for anything that could leave the workspace."""
    if not text or len(text) > 1000 or "\\" in text or "\x00" in text:
        raise ValueError("empty, too long, or with a backslash or NUL")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text):
        raise ValueError("holds invisible characters")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or text.startswith("~"):
        raise ValueError("leaves the workspace")
    return str(path)


def inside(root: Path, text: str) -> Path:
    """The file below ``root`` that ``text`` names (relative, or absolute but inside).

    Raises ValueError when it leaves the root, by name or through a link on the way, or is itself a link.
    """
    if PurePosixPath(text).is_absolute():
        if not PurePosixPath(text).is_relative_to(PurePosixPath(str(root))):
            raise ValueError("leaves the workspace")
        text = str(PurePosixPath(text).relative_to(PurePosixPath(str(root))))
    path = root / relative(text)
    real_root = os.path.realpath(root)
    if not Path(os.path.realpath(path)).is_relative_to(real_root):
        raise ValueError("leaves the workspace through a link")
    if path.is_symlink():
        raise ValueError("is a link")
    return path


def below(rel: str, prefixes: Sequence[str]) -> bool:
    """True when the relative path is one of ``prefixes`` or below one; "." is everything."""
    path = PurePosixPath(rel)
    return any(p == "." or path.is_relative_to(PurePosixPath(p)) for p in prefixes)


def take(root: Path, allowed: Sequence[str] = (".",)) -> Manifest:
    """Read the state of all regular files below ``allowed``. Links are neither listed nor followed."""
    files: dict[str, Entry] = {}
    hashed = 0
    complete = True
    for folder, names, leaves in os.walk(root, followlinks=False):
        names[:] = sorted(n for n in names if n not in SKIPPED)
        for leaf in sorted(leaves):
            path = Path(folder) / leaf
            rel = path.relative_to(root).as_posix()
            if not below(rel, allowed):
                continue
            try:
                state = path.lstat()
                if not stat.S_ISREG(state.st_mode):
                    continue
                if len(files) >= MAX_FILES:
                    return Manifest(files=files, complete=False)
                fits = hashed + state.st_size <= MAX_HASHED
                digest = sha256_file(path) if fits else ""
            except FileNotFoundError:  # gone between the listing and the look: it is not there
                continue
            hashed += state.st_size if fits else 0
            complete = complete and fits
            files[rel] = Entry(state.st_size, state.st_mtime_ns, digest)
    return Manifest(files=files, complete=complete)


def differs(before: Entry, after: Entry) -> bool:
    """True when the content changed: by hash where both have one, else by size and time."""
    if before.sha256 and after.sha256:
        return before.sha256 != after.sha256
    return (before.size, before.mtime_ns) != (after.size, after.mtime_ns)


def delta(before: Manifest, after: Manifest) -> Delta:
    """What changed from one manifest to the other."""
    old, new = before.files, after.files
    return Delta(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(k for k in old.keys() & new.keys() if differs(old[k], new[k]))),
        removed=tuple(sorted(old.keys() - new.keys())),
        complete=before.complete and after.complete,
    )
