"""What was written, and where: file, environment and command line as one raw tree with origins."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.core.errors import ConfigError
from daemon.settings import secrets, shape
from daemon.settings.toml_lines import Path as KeyPath
from daemon.settings.toml_lines import line_numbers

PREFIX = "HANDOFFD_"
COMMAND_LINE = "command line"
DEFAULT = "default"
_NOT_SETTINGS = frozenset({"HANDOFFD_HOME", "HANDOFFD_CONFIG"})


@dataclass(slots=True)
class Given:
    """The raw values. ``texts`` are the paths whose value is text from outside, still to be typed."""

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    texts: set[KeyPath] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def origin(self, path: KeyPath) -> str:
        """Where the value at ``path`` was written: its own place, or that of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return DEFAULT

    def put(self, path: KeyPath, value: Any, origin: str, *, text: bool) -> None:
        """Override one value."""
        table = self.tree
        for i, key in enumerate(path[:-1]):
            inner = table.setdefault(key, {})
            if not isinstance(inner, dict):
                self.problems.append(f"{dotted(path)}: {dotted(path[: i + 1])} is not a table ({origin})")
                return
            table = inner
        table[path[-1]] = value
        for old in [p for p in self.origins if p[: len(path)] == path]:
            del self.origins[old]
        self.texts -= {p for p in self.texts if p[: len(path)] == path}
        self.origins[path] = origin
        if text:
            self.texts.add(path)


def dotted(path: Iterable[str]) -> str:
    """A path as a reader writes it in TOML; keys that need quotes have them."""
    return ".".join(
        p if p.replace("-", "").replace("_", "").isalnum() and p.isascii() else f'"{p}"' for p in path
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` — did you mean “x”?``, or the short list of what there is."""
    names = {name.lower(): name for name in sorted(known)}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if near:
        return f" — did you mean “{names[near[0]]}”?"
    return f" — known here: {', '.join(names.values())}" if 0 < len(names) <= 12 else ""


def read_file(file: Path, *, must_exist: bool) -> Given:
    """The settings file; nothing when it is absent and may be. ConfigError when it can't be read."""
    given = Given()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not must_exist:
            return given
        raise ConfigError(
            f"there is no settings file {file}", hint="`handoffd init` writes one; or correct --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings file can't be read: {file}: {error}") from error
    try:
        given.tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}", hint="values that are text need quotes") from error
    given.origins = {
        path: f"{file}:{line}" for path, line in line_numbers(text.replace("\r\n", "\n")).items()
    }
    if "secrets" in given.tree:
        given.tree.pop("secrets")
        given.problems.append(
            f"secrets: secrets do not belong in the file ({given.origin(('secrets',))}); "
            f"expected a systemd credential, the keyring or {secrets.PREFIX}<NAME>"
        )
    return given


def add_environment(given: Given, env: Mapping[str, str], root: Mapping[str, Any], *, strict: bool) -> None:
    """Put every ``HANDOFFD_<SECTION>__<KEY>`` over the file. ``root``: section → type, nested.

    ``strict``: a section that is not in ``root`` is a mistake; else it belongs to a handler that was not
    asked for.
    """
    for name in sorted(env):
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        if name.startswith(secrets.PREFIX):
            key = name[len(secrets.PREFIX) :].lower()
            if key not in secrets.NAMES:
                given.problems.append(f"{name}: no such secret{did_you_mean(key, secrets.NAMES)}")
            continue
        pieces = name[len(PREFIX) :].lower().split("__")
        if len(pieces) == 1:
            _warn_of_lookalike(given, name, root)
            continue
        path, kind = _locate(pieces, root, given.tree)
        if kind is _UNKNOWN and (len(path) > 1 or strict):
            here = _names(_type_at(path[:-1], root))
            given.problems.append(f"{name}: unknown key {dotted(path)}{did_you_mean(path[-1], here)}")
        elif kind is not _UNKNOWN:
            given.put(path, env[name], name, text=True)


def _warn_of_lookalike(given: Given, name: str, root: Mapping[str, Any]) -> None:
    """HANDOFFD_POLL_INTERVAL would be ignored in silence; other names of that form are not ours to judge."""
    squeezed = name[len(PREFIX) :].replace("_", "").lower()
    for section, kind in root.items():
        for key in _names(kind):
            if (section + key).replace("_", "").lower() == squeezed:
                right = _env_name((section, key))
                given.problems.append(f"{name}: two underscores part section and key: {right}")


_UNKNOWN: Any = object()


def _locate(pieces: list[str], root: Mapping[str, Any], tree: Any) -> tuple[KeyPath, Any]:
    """The path that a variable's pieces mean, and its type; the path ends at the first unknown key."""
    path: KeyPath = ()
    kind: Any = root
    for piece in pieces:
        known = _names(kind)
        present = tree if isinstance(tree, dict) else {}
        key = next((k for k in (*known, *present) if _same(k, piece)), piece)
        path = (*path, key)
        tree = present.get(key)
        kind = _step(kind, key)
        if kind is _UNKNOWN:
            break
    return path, kind


def _env_name(path: KeyPath) -> str:
    """The variable that sets a key."""
    return PREFIX + "__".join(p.upper().replace("-", "_").replace(" ", "_") for p in path)


def _same(key: str, piece: str) -> bool:
    return key.lower().replace("-", "_").replace(" ", "_") == piece


def _type_at(path: KeyPath, root: Mapping[str, Any]) -> Any:
    kind: Any = root
    for key in path:
        kind = _step(kind, key)
    return kind


def _step(kind: Any, key: str) -> Any:
    if isinstance(kind, Mapping):
        return kind.get(key, _UNKNOWN)
    if kind is Any or shape.plain(kind) in (object, dict):
        return Any
    value = shape.values_of(kind)
    if value is not None:
        return value
    return next((f.type for f in shape.fields_of(shape.plain(kind)) if f.name == key), _UNKNOWN)


def _names(kind: Any) -> list[str]:
    return list(kind) if isinstance(kind, Mapping) else list(shape.keys_of(kind))
