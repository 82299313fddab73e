"""Where packets live and how they appear and move.

``<agent's folder>/{01_inbox,02_processed,03_failed}/<name>/``. The daemon's own record of a delivery (the
ledger) stands apart, below the home folder: a packet that was edited, moved away or deleted is noticed, and
clearing an inbox never clears the memory of what was delivered (incidents HF-1, HF-3, HF-12).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from daemon.sdk import BlockedError
from handlers.handoff.compile import folder_name, iso
from handlers.handoff.disk import (
    canonical,
    fsync_dir,
    make_dir,
    pretty,
    read_json,
    sha256,
    sweep,
    write_into,
    write_once,
    write_over,
)
from handlers.handoff.model import Packet
from handlers.handoff.workspace import Manifest

INBOX, PROCESSED, FAILED = "01_inbox", "02_processed", "03_failed"
STATES = (INBOX, PROCESSED, FAILED)
NAME = re.compile(
    r"(?P<stamp>[0-9]{8}T[0-9]{6}Z)--p(?P<priority>[0-3])--(?P<slug>[a-z0-9-]{1,40})"
    r"--(?P<task>[0-9a-f]{32})--g(?P<generation>[1-9][0-9]*)"
)
"""The only names that a packet folder can have."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's record of one delivery, written before the packet can be seen."""

    packet: Packet
    name: str
    """Folder name of the packet."""
    root: str
    """The agent's folder."""
    handoff_sha256: str
    """Of handoff.json as delivered."""
    asked: str
    """Slug of the agent that the page named; the ladder may have chosen another."""
    delivery: int
    """1 for the first one since a person (or the board) asked for it; grows by the ladder."""


def ledger_path(home: Path, task_id: str, generation: int) -> Path:
    """File of the record; a slug can't start with a dot, so no agent owns this folder."""
    return home / "agents" / ".ledger" / f"{task_id}.g{generation}.json"


def load_ledger(home: Path, task_id: str, generation: int) -> Ledger | None:
    """The record, or None when this generation was never delivered from here."""
    path = ledger_path(home, task_id, generation)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return None


def manifest_path(home: Path, task_id: str, generation: int) -> Path:
    """The workspace's manifest at claim time: apart, for the record is read at each look."""
    return ledger_path(home, task_id, generation).with_suffix(".manifest.json")


def load_manifest(home: Path, packet: Packet) -> Manifest:
    """The manifest that was taken when ``packet`` was delivered. FileNotFoundError when it is gone."""
    path = manifest_path(home, packet.task_id, packet.claim_generation)
    return msgspec.json.decode(path.read_bytes(), type=Manifest)


def overdue_path(home: Path, task_id: str, generation: int) -> Path:
    """Where the rung that ended this delivery is kept."""
    return ledger_path(home, task_id, generation).with_suffix(".overdue.json")


def previous_ledger(home: Path, task_id: str, generation: int) -> Ledger | None:
    """The record of the latest earlier delivery of the task."""
    folder = ledger_path(home, task_id, generation).parent
    found = []
    for path in folder.glob(f"{task_id}.g*.json"):
        match = re.fullmatch(r"[0-9a-f]{32}\.g([1-9][0-9]*)\.json", path.name)
        if match and int(match[1]) < generation:
            found.append(int(match[1]))
    return load_ledger(home, task_id, max(found)) if found else None


def save_ledger(home: Path, ledger: Ledger, manifest: Manifest) -> None:
    """Write both records, the manifest first: where there is a record there is its manifest."""
    doc = ledger.packet
    path = ledger_path(home, doc.task_id, doc.claim_generation)
    make_private(path.parent, home)
    write_over(manifest_path(home, doc.task_id, doc.claim_generation), canonical(manifest))
    write_over(path, canonical(ledger))


def make_private(folder: Path, top: Path) -> None:
    """Make ``folder`` and what is missing between it and ``top``."""
    if folder != top and not folder.parent.is_dir():
        make_private(folder.parent, top)
    make_dir(folder)


def prepare(root: Path) -> None:
    """Make a registered agent's folders. BlockedError when one is a link or open to others."""
    root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_dir(root)
    for name in (*STATES, "receipts", "work"):
        make_dir(root / name)


def locate(root: Path, task_id: str, generation: int) -> Path | None:
    """The packet of this very delivery, in whichever state folder it stands."""
    tail = f"--{task_id}--g{generation}"
    for path in _folders(root):
        if path.name.endswith(tail) and NAME.fullmatch(path.name):
            return path
    return None


def _folders(root: Path, states: Iterable[str] = STATES) -> list[Path]:
    found: list[Path] = []
    for state in states:
        try:
            with os.scandir(root / state) as entries:
                found += [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def packets(root: Path) -> list[Path]:
    """All packets of an agent, newest first."""
    return sorted((p for p in _folders(root) if NAME.fullmatch(p.name)), key=lambda p: p.name, reverse=True)


def older(roots: Mapping[str, Path], task_id: str, generation: int) -> list[Path]:
    """Packets of earlier generations of the task that still stand in an inbox, of any agent."""
    out = []
    for root in roots.values():
        for path in _folders(root, (INBOX,)):
            match = NAME.fullmatch(path.name)
            if match and match["task"] == task_id and int(match["generation"]) < generation:
                out.append(path)
    return out


def publish(root: Path, doc: Packet, files: Mapping[str, bytes]) -> Path:
    """Make the packet appear whole in the inbox, in one rename. The caller has looked: it is not there."""
    name = folder_name(doc)
    temp = root / f".tmp-{doc.handoff_id}"
    if temp.exists():  # ours, left by a crash before the rename
        shutil.rmtree(temp)
    make_dir(temp)
    write_into(temp, dict(files))
    target = root / INBOX / name
    if target.is_symlink() or target.exists():
        raise BlockedError(f"{target} is taken by something that is not a packet", hint="remove it")
    temp.rename(target)
    fsync_dir(root / INBOX)
    fsync_dir(root)
    return target


def move(packet: Path, state: str) -> Path:
    """Move the packet's folder to another state folder of the same agent; done already → says where."""
    target = packet.parent.parent / state / packet.name
    if packet == target or (target.is_dir() and not packet.exists()):
        return target
    sweep(packet)
    packet.rename(target)
    fsync_dir(target.parent)
    fsync_dir(packet.parent)
    return target


def put_cancel(packet: Path, reason: str, now: float, replacement: str = "") -> None:
    """Put CANCEL into the packet, once, and move it to 03_failed."""
    note = {"reason": reason, "at": iso(now), "replacement": replacement}
    write_once(packet / "CANCEL", pretty(note))
    if packet.parent.name == INBOX:
        move(packet, FAILED)


def marker(packet: Path, name: str) -> dict[str, Any]:
    """A file that the daemon wrote beside the agent's; {} when it is not there or is no longer ours.

    An agent may have written over it: what can't be read says nothing, and the deadlines go on.
    """
    try:
        return read_json(packet / name)
    except (OSError, ValueError):
        return {}


def numbered(packet: Path, prefix: str) -> list[Path]:
    """Files ``<prefix><n>.json`` in the packet, by number."""
    pattern = re.compile(re.escape(prefix) + r"([1-9][0-9]{0,5})\.json")
    found = [(int(m[1]), p) for p in packet.iterdir() if (m := pattern.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """MANIFEST.json: SHA-256 and size of every file of the packet."""
    return pretty(
        {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in sorted(files.items())}
    )
