"""Duplicates in the library: found, proved by their sound, written down as a plan; applied only as written.

The predecessor put 7,374 files into the trash on a fuzzy match of names (incidents MU-1 … MU-5). What makes
that impossible here, in the lowest function and without a switch: a file is only ever listed when its decoded
samples, of this very file, are equal to those of a file that stays; the number of files is capped, absolutely
and as a share; a plan is applied only under its own hash and only while the library is exactly what it was;
and "removed" means moved into the library's trash; ``restore`` brings it back.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from daemon.sdk import BlockedError, Context, PermanentError
from handlers.music import measure, place, preflight, scan
from handlers.music.download import sha256_of
from handlers.music.library import Known, Library
from handlers.music.model import Tool
from handlers.music.settings import Settings

HASH_DIGITS = 16
"""Digits of a plan's hash (SHA-256, hex) that its file's name carries: 64 bits, which no two share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A file that the plan moves into the trash."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One proved duplicate: ``loser`` sounds sample for sample like ``keeper``. Both are track ids."""

    keeper: str
    loser: str
    name: str
    why: str
    files: tuple[Doomed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done, and the library that it was made for. ``library``: root, its identity, counts."""

    library: dict[str, Any]
    groups: tuple[Group, ...]
    unproved: tuple[str, ...]
    """Pairs that only look alike: listed for a person, never touched."""

    @property
    def files(self) -> int:
        """How many files would be moved."""
        return sum(len(g.files) for g in self.groups)

    def hash(self) -> str:
        """SHA-256 over all of it: what is applied is what was reviewed."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def library_now(settings: Settings, home: Path) -> dict[str, Any]:
    """The library's identity and size. Raises BlockedError when its volume is not there."""
    root = settings.output_folder(home)
    with Library(settings.index_file(home)) as library:
        for _, folder, own in preflight.roots(settings, home):
            preflight.open_root(library, folder, own)
        return {
            "root": str(root),
            "root_id": library.root_id(str(root)),
            "tracks": library.size(),
            "files": len(scan.all_files(settings, home)),
        }


def plan(ctx: Context, tool: Tool, settings: Settings, home: Path) -> Plan:
    """Step: look for duplicates and prove each by decoding it. Touches nothing.

    Grows with the number of tracks of one name, not with its square: equal samples have equal hashes.
    Raises BlockedError with the count when more would be moved than the settings allow.
    """
    now = library_now(settings, home)
    groups: list[Group] = []
    unproved: list[str] = []
    decoded: dict[str, str] = {}
    with Library(settings.index_file(home)) as library:
        alike = library.same_names()
    for number, named in enumerate(alike):
        ctx.progress(number, len(alike), "comparing")
        sounds: dict[str, list[Known]] = {}
        for item in named:
            samples = _samples(ctx, tool, _nearest(item), decoded)
            sounds.setdefault(samples or f"not decoded: {item.id}", []).append(item)
        kept = []
        for same in sounds.values():
            keeper, *losers = sorted(same, key=_worth)
            kept.append(keeper)
            for loser in losers:
                group, left = _group(ctx, tool, keeper, loser, decoded)
                groups.append(group)
                unproved += left
        unproved += _unproved(kept, settings.same_seconds)
    made = Plan(library=now, groups=tuple(groups), unproved=tuple(unproved))
    within_cap(made.files, now["files"], settings)
    return made


def _group(
    ctx: Context, tool: Tool, keeper: Known, loser: Known, decoded: dict[str, str]
) -> tuple[Group, list[str]]:
    """What may go of ``loser``, each file proved by its own samples; and a line for each that may not."""
    stays = {_samples(ctx, tool, p, decoded) for p in keeper.files.values()} - {""}
    kept = set(keeper.files.values())
    name = f"{loser.artist} – {loser.title}"
    files: list[Doomed] = []
    left: list[str] = []
    for path in sorted(p for p in loser.files.values() if p not in kept and Path(p).is_file()):
        if _samples(ctx, tool, path, decoded) in stays:
            size = Path(path).stat().st_size
            files.append(Doomed(path=path, sha256=sha256_of(Path(path)), bytes=size))
        else:
            left.append(f"{name}: {path} has other samples than all files of {keeper.id}")
    why = "every sample is equal"
    return Group(keeper=keeper.id, loser=loser.id, name=name, why=why, files=tuple(files)), left


def _unproved(kept: list[Known], window: float) -> list[str]:
    """Of tracks of one name whose samples differ, those that are as long as the next: a line each."""
    ordered = sorted(kept, key=lambda item: item.duration_s)
    return [
        f"{b.artist} – {b.title}: {a.id} and {b.id} have one name, but not the same samples"
        for a, b in pairwise(ordered)
        if b.duration_s - a.duration_s <= window
    ]


def _worth(item: Known) -> tuple[int, int, str]:
    """The keeper comes first: the fuller set, then the one with more known of it, then the smaller id."""
    return -len(item.files), -sum(bool(x) for x in (item.isrc, item.album, item.url)), item.id


def _nearest(item: Known) -> str:
    """The file of a track that is nearest to the stream it came as; "" = it has none."""
    return next((item.files[f] for f in scan.NEAREST if f in item.files), "")


def _samples(ctx: Context, tool: Tool, path: str, decoded: dict[str, str]) -> str:
    """Hash of a file's samples, decoded now; "" = it can't be told.

    ``decoded``: hash of a file's bytes → of its samples; bytes that are there twice are decoded once.
    """
    if not path or not Path(path).is_file():
        return ""
    whole = sha256_of(Path(path))
    if whole not in decoded:
        try:
            decoded[whole] = measure.measure(ctx, tool, path).pcm
        except PermanentError:  # damaged: then it is proved to equal nothing
            decoded[whole] = ""
    return decoded[whole]


def within_cap(count: int, library_files: int, settings: Settings) -> None:
    """Raise BlockedError with the count when ``count`` files are more than the cap or its share.

    Called where the plan is made and again where files are moved; there is no way round it but the settings.
    """
    most = min(settings.dedup_cap, max(1, int(settings.dedup_share * library_files)))
    if count > most:
        raise BlockedError(
            f"{count} of {library_files} files would be moved; at most {most} may be at a time",
            hint="look at the duplicates; music.dedup_cap and music.dedup_share hold the limits",
        )


def save(made: Plan, home: Path) -> Path:
    """Step: the plan as a file for review, named by its hash. Returns its path."""
    folder = home / "plans"
    folder.mkdir(exist_ok=True)
    path = folder / _file_name(made)
    body = json.dumps({"hash": made.hash(), **asdict(made)}, indent=1, ensure_ascii=False)
    temporary = folder / f".{path.name}.{os.getpid()}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(body + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    place.sync_folder(folder)
    return path


def _file_name(made: Plan) -> str:
    return f"dedup-{made.hash()[:HASH_DIGITS]}.json"


def load(name: str, given_hash: str, home: Path) -> Plan:
    """The saved plan of that name, if it is what was reviewed.

    ``name`` is a file name in the plans folder, never a path. ``given_hash``: the plan's whole
    hash; "" = the digits in the name that ``save`` gave it. Raises PermanentError otherwise.
    """
    folder = home / "plans"
    known = {p.name: p for p in folder.glob("dedup-*.json")} if folder.is_dir() else {}
    path = known.get(Path(name).name)
    if path is None:
        raise PermanentError(f"no such plan: {name[:80]}", hint="make one with mode = dedup-plan")
    raw = json.loads(path.read_text(encoding="utf-8"))
    made = Plan(
        library=raw["library"],
        groups=tuple(Group(**{**g, "files": tuple(Doomed(**f) for f in g["files"])}) for g in raw["groups"]),
        unproved=tuple(raw["unproved"]),
    )
    reviewed = given_hash == made.hash() if given_hash else path.name == _file_name(made)
    if made.hash() != raw["hash"] or not reviewed:
        raise PermanentError(
            "the plan is not the one that was reviewed: its hash differs", hint="give the plan's own hash"
        )
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was moved: path → where it lies now."""

    moved: dict[str, str]


def apply(made: Plan, settings: Settings, home: Path) -> Applied:
    """Step: move the plan's files into the trash, if the library is still the plan's library.

    After a crash it goes on where it was: a file that already lies in the trash under its hash counts as
    moved. Raises BlockedError, before anything is moved, when root, identity, size or a listed file differs.
    """
    trash, targets, done = _checked(made, settings, home)
    trash.mkdir(parents=True, exist_ok=True)
    with Library(settings.index_file(home)) as library:
        for path, target in targets.items():
            if path not in done:
                place.move(Path(path), target)
            library.forget_file(path)
    return Applied(moved={p: str(t) for p, t in targets.items()})


def left_of(made: Plan, settings: Settings, home: Path) -> int:
    """Step: how many files ``apply`` would move now; raises what it would raise, moves nothing."""
    _, targets, done = _checked(made, settings, home)
    return len(targets) - len(done)


def _checked(made: Plan, settings: Settings, home: Path) -> tuple[Path, dict[str, Path], set[str]]:
    """The plan's trash folder, where each file goes, and which are there already."""
    trash = settings.output_folder(home) / place.TRASH / f"plan-{made.hash()[:16]}"
    targets = {
        f.path: trash / f"{n:05d}-{Path(f.path).name}"[:200]
        for n, f in enumerate(f for g in made.groups for f in g.files)
    }
    doomed = {f.path: f for g in made.groups for f in g.files}
    done = {
        path
        for path, target in targets.items()
        if not Path(path).exists() and target.is_file() and sha256_of(target) == doomed[path].sha256
    }
    now = library_now(settings, home)
    within_cap(len(doomed), made.library["files"], settings)
    if now["root_id"] != made.library["root_id"] or now["root"] != made.library["root"]:
        raise BlockedError("the plan was made for another library", hint="make a new plan")
    then, there = made.library["files"], now["files"] + len(done)
    if there != then:
        raise BlockedError(
            f"the library changed since the plan: {there} files, then {then}", hint="make a new plan"
        )
    roots = [folder.resolve() for _, folder, _ in preflight.roots(settings, home)]
    for path, item in doomed.items():
        if path in done:
            continue
        real = Path(path).resolve()
        if not any(real.is_relative_to(r) for r in roots):
            raise BlockedError(f"{path} is not in the library", hint="make a new plan")
        if not real.is_file() or sha256_of(real) != item.sha256:
            raise BlockedError(f"{path} changed since the plan", hint="make a new plan")
    return trash, targets, done


def restore(applied: Applied) -> int:
    """Bring an applied plan's files back where they were; how many. A name that is taken by now is left."""
    back = 0
    for path, target in applied.moved.items():
        if Path(target).is_file() and not Path(path).exists():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            place.move(Path(target), Path(path))
            back += 1
    return back
