"""Phase 0: what a sync needs, looked at before it starts; and the same facts as lines of ``doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from daemon.sdk import BlockedError, Check, ConfigError, HandoffdError
from handlers.music import analysis, ffmpeg, names, sound
from handlers.music.library import Library
from handlers.music.model import Finding, Tool
from handlers.music.netguard import JS_RUNTIMES
from handlers.music.settings import Settings

OLDEST_YT_DLP = (2026, 7, 4)
"""Below it are known holes: CVE-2026-55404 and the ones before (research/reliability.md T43)."""
MARKER = ".handoffd-library"
"""File in a root folder that holds its identity: a volume that is not mounted has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The means of a run, and what was found while looking for them."""

    tool: Tool
    findings: tuple[Finding, ...]
    free: dict[str, int]


def look(settings: Settings, home: Path, work: Path) -> Ready:
    """Step: tools and folders. Creates the library's folders at their first use.

    Raises BlockedError with the fix when something required is missing, ConfigError for a wrong layout.
    """
    for layout in (settings.layout, *settings.layouts.values()):
        names.check_layout(layout)
    tool = ffmpeg.find_ffmpeg(settings.ffmpeg)
    lacking = ffmpeg.missing(tool)
    if lacking:
        raise BlockedError(
            f"{tool.path} lacks {', '.join(lacking)}", hint="install a complete ffmpeg, 4.4 or later"
        )
    findings = [
        Finding(title="ffmpeg", state="ok", text=f"{tool.version} at {tool.path}"),
        yt_dlp_finding(),
        js_finding(),
        chromaprint_finding(tool),
        analysis.finding(settings),
    ]
    free = {str(work): shutil.disk_usage(work).free}
    _enough("Work folder", work, free[str(work)], settings)
    with Library(settings.index_file(home)) as library:
        for title, root, own in roots(settings, home):
            open_root(library, root, own)
            free[str(root)] = room = shutil.disk_usage(root).free
            _enough(title, root, room, settings)
            findings.append(Finding(title=title, state="ok", text=f"{root}: writable, {room >> 20} MiB free"))
        findings.append(Finding(title="Library index", state="ok", text=f"{library.size()} track(s) known"))
    return Ready(tool=tool, findings=tuple(findings), free=free)


def _enough(title: str, folder: Path, room: int, settings: Settings) -> None:
    if room < settings.min_free:
        raise BlockedError(
            f"{title}: {room >> 20} MiB free, and music.min_free is {settings.min_free >> 20} MiB",
            hint=f"free space on the disk of {folder}",
        )


def roots(settings: Settings, home: Path) -> list[tuple[str, Path, bool]]:
    """Title, folder, and whether it is ours to create (below the home folder) for each root."""
    out = [("Music folder", settings.output_folder(home), not settings.output)]
    if "backup" in settings.formats:
        out.append(("Backup folder", settings.backup_folder(home), not settings.backup))
    return out


def open_root(library: Library, root: Path, own: bool) -> None:
    """Make sure that a root is the folder it was, and writable.

    A configured folder whose parent is missing, or that lost its marker, is a volume that is not mounted:
    writing there would fill the mount point. Raises BlockedError.
    """
    known = library.root_id(str(root))
    marker = root / MARKER
    if not root.is_dir():
        if known or not (own or root.parent.is_dir()):
            raise BlockedError(
                f"the music folder {root} is not there", hint="mount its volume, or correct music.output"
            )
        root.mkdir(parents=True, exist_ok=True)
    if not os.access(root, os.W_OK | os.X_OK):
        raise BlockedError(f"the music folder {root} can't be written", hint="correct its rights")
    if marker.is_file():
        identity = marker.read_text(encoding="utf-8").strip()[:64]
        if identity != known:
            library.set_root(str(root), identity)
        return
    if known:
        raise BlockedError(
            f"{root} is not the library's folder: its {MARKER} is missing",
            hint=f"mount the volume; if the folder is meant, write {known} into {marker}",
        )
    identity = uuid.uuid4().hex
    try:
        marker.write_text(identity + "\n", encoding="utf-8")
    except OSError as error:
        raise BlockedError(
            f"{marker} can't be written: {error.strerror}", hint="correct its rights"
        ) from error
    library.set_root(str(root), identity)


def still_there(settings: Settings, home: Path) -> None:
    """Raise BlockedError when a root that was there at the run's start is another folder now: its volume was
    unmounted meanwhile, and writing would fill the mount point."""
    with Library.looking(settings.index_file(home)) as library:
        for title, root, _ in roots(settings, home):
            known, marker = library.root_id(str(root)), root / MARKER
            if known and (not marker.is_file() or marker.read_text(encoding="utf-8").strip()[:64] != known):
                raise BlockedError(
                    f"{title}: {root} is not the folder any more that it was when the run began",
                    hint="mount its volume",
                )


def yt_dlp_finding() -> Finding:
    """yt-dlp's version, without importing it."""
    try:
        version = importlib.metadata.version("yt-dlp")
    except importlib.metadata.PackageNotFoundError:
        raise BlockedError("yt-dlp is not installed", hint="pip install yt-dlp") from None
    parts = tuple(int(p) for p in version.split(".")[:3] if p.isdecimal())
    if parts < OLDEST_YT_DLP:
        raise BlockedError(f"yt-dlp {version} has known security holes", hint="pip install -U yt-dlp")
    return Finding(title="yt-dlp", state="ok", text=version)


def chromaprint_finding(tool: Tool) -> Finding:
    """What compares the sound of two files; without it a near match asks a person."""
    found = sound.means(tool)
    if found:
        return Finding(title="Chromaprint", state="ok", text="in ffmpeg" if found == "ffmpeg" else found)
    text = "neither in ffmpeg nor as fpcalc: sound is not compared"
    return Finding(title="Chromaprint", state="warn", text=text)


def js_finding() -> Finding:
    """A JavaScript runtime: YouTube needs one, the rest does not."""
    found = next((name for name in JS_RUNTIMES if shutil.which(name)), "")
    if found:
        return Finding(title="JavaScript runtime", state="ok", text=found)
    return Finding(
        title="JavaScript runtime",
        state="warn",
        text="none: YouTube can't be read (pip install deno, or install node)",
    )


def checks(settings: Settings, home: Path) -> list[Check]:
    """Lines of ``handoffd doctor``. Looks only: creates no folder."""
    out = [_tool_check(settings)]
    try:
        found = yt_dlp_finding()
        out.append(Check(name="yt-dlp", state="ok", message=found.text))
    except HandoffdError as error:
        out.append(Check(name="yt-dlp", state="broken", message=error.message, fix=error.hint))
    runtime = js_finding()
    out.append(
        Check(
            name="JavaScript runtime",
            state=runtime.state,
            message=runtime.text,
            fix="" if runtime.state == "ok" else "install deno ≥ 2.3 or node ≥ 22",
        )
    )
    out += [_chromaprint_check(settings), analysis.check(settings)]
    out += [_root_check(settings, title, root) for title, root, _ in roots(settings, home)]
    return out + ([_eagle_check(settings)] if settings.eagle_base_url else [])


def _chromaprint_check(settings: Settings) -> Check:
    try:
        found = chromaprint_finding(ffmpeg.find_ffmpeg(settings.ffmpeg))
    except HandoffdError as error:
        return Check(name="Chromaprint", state="warn", message=f"not looked for: {error.message}")
    fix = "" if found.state == "ok" else "install an ffmpeg with chromaprint, or fpcalc"
    return Check(name=found.title, state=found.state, message=found.text, fix=fix)


def _eagle_check(settings: Settings) -> Check:
    from handlers.music.eagle import Eagle

    try:
        app = Eagle(settings.eagle_base_url, settings.eagle_library)
    except HandoffdError as error:
        state = "broken" if isinstance(error, ConfigError) else "warn"
        return Check(name="Eagle", state=state, message=error.message, fix=error.hint)
    api = "V2" if app.v2 else "V1"
    return Check(name="Eagle", state="ok", message=f"{app.version}, API {api}")


def _tool_check(settings: Settings) -> Check:
    try:
        for layout in (settings.layout, *settings.layouts.values()):
            names.check_layout(layout)
        tool = ffmpeg.find_ffmpeg(settings.ffmpeg)
    except HandoffdError as error:
        return Check(name="ffmpeg", state="broken", message=error.message, fix=error.hint)
    lacking = ffmpeg.missing(tool)
    if lacking:
        return Check(
            name="ffmpeg",
            state="broken",
            message=f"{tool.path} lacks {', '.join(lacking)}",
            fix="install a complete ffmpeg, 4.4 or later",
        )
    return Check(
        name="ffmpeg",
        state="ok",
        message=f"{tool.version} at {tool.path}",
        data={"path": tool.path, "version": tool.version, "encoders": list(tool.encoders)},
    )


def _root_check(settings: Settings, title: str, root: Path) -> Check:
    at = next((p for p in (root, *root.parents) if p.is_dir()), Path("/"))
    if not os.access(at, os.W_OK | os.X_OK):
        return Check(name=title, state="broken", message=f"{at} can't be written", fix="correct its rights")
    free = shutil.disk_usage(at).free
    if free < settings.min_free:
        return Check(
            name=title,
            state="broken",
            message=f"{free >> 20} MiB free on the disk of {root}",
            fix=f"free at least {settings.min_free >> 20} MiB, or lower music.min_free",
        )
    there = "" if root.is_dir() else " (made at the first sync)"
    return Check(name=title, state="ok", message=f"{root}{there}: {free >> 20} MiB free", data={"free": free})
