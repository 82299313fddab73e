"""The library as it lies on disk: read into the index, and held against what the index says.

``scan`` builds the index again from the files' own tags. ``verify`` decodes every file of every set; with
``repair`` a set that lost files is made whole from the best file that is left, under its own identity.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from daemon.sdk import Context, HandoffdError, PermanentError
from handlers.music import analysis, covers, identity, measure, place, render, tags, urls, verify
from handlers.music.library import Known, Library
from handlers.music.model import Audio, Checked, Placed, Tool, Track
from handlers.music.settings import BACKUP_FOLDER, Settings

BATCH = 200
"""Files whose tags one child reads."""
ENDINGS = {".m4a": "m4a", ".aiff": "aiff", ".aif": "aiff", ".wav": "wav"}
NEAREST = ("m4a", "backup", "wav", "aiff")
"""The files of a track, nearest to the stream it came as first."""
REPAIR_FROM = {
    "m4a": NEAREST,
    "wav": ("wav", "aiff", "m4a", "backup"),
    "aiff": ("aiff", "wav", "m4a", "backup"),
}
"""Format → what it is made of again, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What a scan found. ``foreign``: tracks without our tag; ``unreadable``: paths with the reason."""

    files: int
    tracks: int
    foreign: int
    unreadable: tuple[str, ...]
    gone: tuple[str, ...]
    """Paths that the index had and the disk has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReport:
    """One track's set. ``state``: whole | repaired | broken."""

    id: str
    artist: str
    title: str
    state: str
    missing: tuple[str, ...]
    problems: tuple[str, ...]


def audio_files(root: Path, *, backup: bool) -> Iterator[tuple[str, Path]]:
    """Format and path of every audio file below a root, without our own folders, hidden ones and links."""
    own = {place.TRASH} if backup else {place.TRASH, BACKUP_FOLDER}
    for folder, names, files in os.walk(root):
        top = Path(folder) == root
        names[:] = sorted(n for n in names if not n.startswith(".") and not (top and n in own))
        for name in sorted(files):
            path = Path(folder, name)
            kind = ENDINGS.get(path.suffix.lower())
            if kind and not name.startswith(".") and not path.is_symlink():
                yield ("backup" if backup else kind), path


def all_files(settings: Settings, home: Path) -> list[tuple[str, Path]]:
    """Every audio file of the library and of its backup."""
    out = list(audio_files(settings.output_folder(home), backup=False))
    return out + list(audio_files(settings.backup_folder(home), backup=True))


def scan(ctx: Context, settings: Settings, home: Path) -> Scanned:
    """Step: read every file's tags and bring the index up to date. Changes no file."""
    found = all_files(settings, home)
    ours: dict[str, list[tuple[str, Path, dict[str, Any]]]] = {}
    strangers: dict[str, list[tuple[str, Path, dict[str, Any]]]] = {}
    unreadable: list[str] = []
    for start in range(0, len(found), BATCH):
        part = found[start : start + BATCH]
        ctx.progress(start, len(found), "reading tags")
        for (kind, path), said in zip(part, tags.read(ctx, [str(p) for _, p in part]), strict=True):
            if "error" in said:
                unreadable.append(f"{path}: {said['error']}")
                continue
            own = said["custom"].get(tags.OWN_TAG, "")
            target, key = (ours, own) if own else (strangers, _stranger_key(path, said))
            target.setdefault(key, []).append((kind, path, said))
    with Library(settings.index_file(home)) as library:
        gone = [p for p in library.file_paths() if not Path(p).is_file()]
        for lost in gone:
            library.forget_file(lost)
        for key, members in (*ours.items(), *strangers.items()):
            _index(library, key, members, own=key in ours)
        tracks = library.size()
    return Scanned(
        files=len(found),
        tracks=tracks,
        foreign=len(strangers),
        unreadable=tuple(unreadable),
        gone=tuple(gone),
    )


def _stranger_key(path: Path, said: dict[str, Any]) -> str:
    """Files of another origin belong together when name, version and whole second are the same."""
    name = identity.name_of(said["fields"].get("title") or path.stem)
    artist = identity.fold(said["fields"].get("artist", ""))
    return f"file:{artist}|{name.core}|{name.version}|{round(said['length'])}"


def _index(library: Library, key: str, members: list[tuple[str, Path, dict[str, Any]]], *, own: bool) -> None:
    _, path, said = members[0]
    track = track_from_tags(path, said, key=key, own=own)
    known = library.by_id(track.id)
    files = {k: str(p) for k, p, _ in members}
    recorded = {f.path: f for f in library.files_of(track.id)}
    placed = [
        recorded.get(p) or Placed(format=k, path=p, how="there", sha256="", bytes=Path(p).stat().st_size)
        for k, p in files.items()
    ]
    library.put(track, known.pcm if known else "", placed)


def track_from_tags(path: Path, said: dict[str, Any], *, key: str = "", own: bool = True) -> Track:
    """The track that a file says it is."""
    fields, custom = said["fields"], said["custom"]
    title = fields.get("title") or path.stem
    known = analysis.kept(fields, custom, (tags.TEMPO_TAG, tags.TONALITY_TAG))
    source_key = custom.get("handoffd:key") or key
    return Track(
        id=custom.get(tags.OWN_TAG) if own and custom.get(tags.OWN_TAG) else urls.track_id(source_key),
        key=source_key,
        artist=fields.get("artist", "Unknown Artist"),
        title=title,
        version=identity.name_of(title).version,
        album=fields.get("album", ""),
        date=fields.get("date", ""),
        genre=fields.get("genre", ""),
        isrc=fields.get("isrc", ""),
        playlist=custom.get("handoffd:playlist", ""),
        url=custom.get("SOURCE_URL", ""),
        duration_s=float(said.get("length", 0.0)),
        tempo=known.tempo,
        tonality=known.tonality,
    )


def known_tracks(index: Path, limit: int) -> list[str]:
    """Step: ids of the tracks that have files, oldest first; ``limit`` 0 = all."""
    with Library(index) as library:
        ids = [k.id for k in library.tracks() if k.files]
    return ids[:limit] if limit else ids


def verify_set(
    ctx: Context, tool: Tool, track_id: str, settings: Settings, home: Path, repair: bool
) -> SetReport:
    """Step: one track's set, every file decoded; made whole again when it is ours and ``repair`` says so."""
    with Library(settings.index_file(home)) as library:
        known = library.by_id(track_id)
    if known is None:
        raise PermanentError(f"the index has no track {track_id}")
    good, missing, problems = _state(ctx, tool, known, settings.formats)
    stray = strayed(good, known.pcm)
    problems += tuple(f"{kind}: its samples are not those of the other formats" for kind in stray)
    good = {k: c for k, c in good.items() if k not in stray}
    unsure = any(set(pair) <= set(stray) for pair in PAIRS)
    state = "broken" if missing or problems else "whole"
    if unsure:
        problems += ("nothing tells which of the two is right: a person has to",)
    elif state == "broken" and repair and good:
        try:
            _repair(ctx, tool, known, good, settings, home)
            state = "repaired"
        except HandoffdError as error:
            problems += (f"repair: {error.one_line()}",)
    return SetReport(
        id=known.id, artist=known.artist, title=known.title, state=state, missing=missing, problems=problems
    )


def _state(
    ctx: Context, tool: Tool, known: Known, formats: Iterable[str]
) -> tuple[dict[str, Checked], tuple[str, ...], tuple[str, ...]]:
    good: dict[str, Checked] = {}
    missing: list[str] = []
    problems: list[str] = []
    for kind in formats:
        path = known.files.get(kind, "")
        if not path or not Path(path).is_file():
            missing.append(kind)
            continue
        found = verify.check_file(ctx, tool, kind, path, known.duration_s)
        if found.problems:
            problems += [f"{kind}: {p}" for p in found.problems]
        else:
            good[kind] = found
    return good, tuple(missing), tuple(problems)


PAIRS = (("wav", "aiff"), ("m4a", "backup"))
"""Formats that hold the same samples."""


def strayed(good: dict[str, Checked], pcm: str) -> tuple[str, ...]:
    """Formats whose sound is another than their pair's; both, where nothing tells which is right. Pure.

    ``pcm``: hash of the source's samples, "" = not known any more. WAV and AIFF have it, and an M4A that was
    not encoded.
    """
    out: list[str] = []
    for pair in PAIRS:
        there = [good[k] for k in pair if k in good]
        if len(there) == 2 and there[0].pcm != there[1].pcm:
            others = {pcm, *(c.pcm for k, c in good.items() if k not in pair)}
            out += [c.format for c in there if c.pcm not in others]
    return tuple(out)


def _repair(
    ctx: Context, tool: Tool, known: Known, good: dict[str, Checked], settings: Settings, home: Path
) -> None:
    """Make what the set lacks and place it; what is good of it stays as it is, byte for byte.

    WAV and AIFF come from each other where one is left, since an M4A may have been encoded; M4A and backup
    are one another's copy.
    """
    copies = {k: _at_work(ctx, known.id, c) for k, c in good.items()}
    if "m4a" not in copies and "backup" in copies:
        copies["m4a"] = replace(copies["backup"], format="m4a")
    first = good[next(f for f in NEAREST if f in good)]
    (said,) = tags.read(ctx, [first.path])
    if said.get("custom", {}).get(tags.OWN_TAG) != known.id:
        raise PermanentError("the files are not ours: they have no tag of this track")
    track = replace(track_from_tags(Path(first.path), said), duration_s=known.duration_s)
    checked = [c for k, c in copies.items() if k != "backup"]
    for kind in dict.fromkeys("m4a" if f == "backup" else f for f in settings.formats):
        if kind not in copies:
            best = good[next(f for f in REPAIR_FROM[kind] if f in good)]
            checked += _made_again(ctx, tool, kind, best, track, said["custom"], settings)
    placed = place.place(ctx, checked, track, settings, home)
    with Library(settings.index_file(home)) as library:
        library.put(track, known.pcm, placed.files)


def _at_work(ctx: Context, track: str, item: Checked) -> Checked:
    """A copy of a good file, to be placed: a second name for the file itself would tie the two together."""
    folder = ctx.workdir / f"repair-{track}"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"good.{item.format}"
    target.touch()
    place.copy(Path(item.path), target)
    return replace(item, path=str(target))


def _made_again(
    ctx: Context,
    tool: Tool,
    kind: str,
    source: Checked,
    track: Track,
    custom: dict[str, str],
    settings: Settings,
) -> list[Checked]:
    """One format rendered from a good file of the set, tagged and checked against it."""
    audio = measure.measure(ctx, tool, source.path, settings.replaygain)
    folder = ctx.workdir / f"repair-{track.id}" / kind
    cover = covers.make_cover(ctx, tool, "", audio, source.path, folder / "cover", settings.cover_pixels)
    alone = msgspec.structs.replace(settings, formats=(kind,))
    rendered = render.render(
        ctx, tool, source.path, audio, track, cover, folder / "out", alone, _first_label(audio, custom)
    )
    return list(verify.check_rendered(ctx, tool, rendered, audio))


def _first_label(audio: Audio, custom: dict[str, str]) -> Audio:
    """What the files say of their source: as the set was first labelled, whatever this file is made of."""
    bits = custom.get("SOURCE_BITRATE", "")
    return replace(
        audio,
        lossy=audio.lossy or custom.get("SOURCE_LOSSY") == "1",
        codec=custom.get("SOURCE_CODEC") or audio.codec,
        profile="" if custom.get("SOURCE_CODEC") else audio.profile,
        bitrate=int(bits) // 1000 if bits.isdecimal() else None,
    )
