"""Names of files and folders from untrusted text. Pure.

What holds for every name: composed Unicode (NFC), at most ``COMPONENT`` bytes, no separator, control,
direction or reserved character, no leading dot or dash, no trailing dot or space, never a device name of
Windows, never one of our own folders; the same input gives the same name.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from string import Formatter

from daemon.sdk import ConfigError
from handlers.music.model import Track
from handlers.music.settings import BACKUP_FOLDER, EXTENSIONS

COMPONENT = 240
"""Bytes of a name with its extension: the usual limit is 255, and a suffix and other systems need room."""
FIELDS = ("playlist", "artist", "title", "album", "year", "id")
UNSORTED = "Unassigned"
"""Folder of what belongs to no playlist."""
TEMPORARY = ".handoffd-"
"""Begin of the names of files that are not finished; no track's name begins with a dot."""

_RESERVED = {"/": "-", "\\": "-", ":": "-", "*": "_", "?": "", '"': "'", "<": "(", ">": ")", "|": "-"}
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.I)
_OWN = frozenset({BACKUP_FOLDER, "_trash"})


def component(text: str, limit: int = COMPONENT, empty: str = "Untitled") -> str:
    """One path component from any text; ``empty`` when nothing of it can stay."""
    plain = unicodedata.normalize("NFC", text)
    out: list[str] = []
    for char in plain:
        if char in _RESERVED:
            out.append(_RESERVED[char])
        elif char.isspace():
            out.append(" ")
        elif unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn"):
            out.append(char)
    name = " ".join("".join(out).split()).lstrip(" .-").rstrip(" .")
    name = cut(name, limit).rstrip(" .")
    if not name:
        return empty
    if _DEVICE.fullmatch(name) or name.casefold() in _OWN:
        return cut(f"_{name}_", limit)
    return name


def cut(text: str, limit: int) -> str:
    """At most ``limit`` UTF-8 bytes, never through a character or a letter and its accents."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return text
    head = raw[:limit].decode("utf-8", "ignore")
    while head and unicodedata.combining(text[len(head)]):
        head = head[:-1]
    return head


def check_layout(layout: str) -> None:
    """Raise ConfigError when a layout has unknown fields or could leave its folder."""
    try:
        fields = [(name, spec, conv) for _, name, spec, conv in Formatter().parse(layout) if name is not None]
    except ValueError as error:
        raise ConfigError(f"music.layout {layout!r}: {error}", hint="see docs/settings.md") from error
    unknown = [n for n, spec, conv in fields if n not in FIELDS or spec or conv]
    if unknown or not fields:
        raise ConfigError(
            f"music.layout {layout!r}: unknown field {', '.join(unknown) or '(there is none)'}",
            hint=f"fields: {' '.join(FIELDS)}",
        )
    if layout.startswith("/") or any(p in ("", ".", "..") for p in layout.split("/")):
        raise ConfigError(f"music.layout {layout!r} must be a relative path without empty or dot parts")


def relative_path(layout: str, track: Track, kind: str, suffix: str = "") -> Path:
    """Path below the root of ``kind`` (a format) for a track: every part made safe, extension added.

    ``suffix`` (`` [3f9c1a]``) tells tracks of one name apart; a long name gives way to it, never the reverse.
    """
    check_layout(layout)
    values = {
        "playlist": track.playlist or UNSORTED,
        "artist": track.artist,
        "title": track.title,
        "album": track.album or "Unknown Album",
        "year": track.date[:4] or "0000",
        "id": track.id,
    }
    extension = f".{EXTENSIONS[kind]}"
    *folders, last = layout.split("/")
    parts = [component(part.format_map(values), 120) for part in folders]
    room = COMPONENT - len(extension) - len(suffix.encode())
    return Path(*parts, component(last.format_map(values), room) + suffix + extension)


def suffixes(track: Track) -> tuple[str, ...]:
    """The name as it is; then with a part of the track's identity, which is the same in every run."""
    return ("", f" [{track.id[:6]}]", f" [{track.id[:12]}]")


def same_name(left: str, right: str) -> bool:
    """Whether a file system that ignores case or composes accents would take two names for one."""
    return unicodedata.normalize("NFC", left).casefold() == unicodedata.normalize("NFC", right).casefold()
