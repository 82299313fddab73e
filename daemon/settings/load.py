"""Settings from all sources, by one rule: command line > environment > file > default.

All mistakes are told at once, each with its key, its place and what was expected there. The origin of every
value is kept: ``handoffd config show`` prints it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from daemon.core.errors import ConfigError
from daemon.settings import shape
from daemon.settings.checks import wrong_together
from daemon.settings.model import Settings
from daemon.settings.paths import Paths, Place, find_place, lay_out
from daemon.settings.reader import BAD, Reader
from daemon.settings.redact import Redactor
from daemon.settings.secrets import Secrets, find
from daemon.settings.sources import (
    COMMAND_LINE,
    DEFAULT,
    Given,
    add_environment,
    did_you_mean,
    dotted,
    read_file,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of ``load``, kept so that a reload asks the same."""

    home: Path | None
    config: Path | None
    env: Mapping[str, str]
    flags: Mapping[str, Any]
    sections: Mapping[str, Any] | None
    keep_unknown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Valid settings and all that is known of them."""

    settings: Settings
    sections: Mapping[str, Any]
    """Handler sections by name, typed; as written when ``load`` was not told their types."""
    unset: Mapping[str, str]
    """Section → why it can't be used: it has required keys and nobody wrote it. Not an error of the file."""
    origins: Mapping[str, str]
    """Dotted key → ``file:line``, variable or ``command line``, for each value that is not a default."""
    paths: Paths
    secrets: Secrets
    request: Request = field(repr=False)
    stamp: tuple[int, int, int] | None
    """Inode, size and change time of the file as it was read, None when there is none."""

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.paths.home

    @property
    def local(self) -> bool:
        """No Notion token: the local board is used."""
        return "notion_token" not in self.secrets

    def origin(self, key: str) -> str:
        """Where the value of a dotted key comes from; ``default`` when nobody set it."""
        return self.origins.get(key, DEFAULT)

    def redactor(self) -> Redactor:
        """One that knows the secrets of this load."""
        return Redactor(self.secrets.values_to_hide())

    def stamp_now(self) -> tuple[int, int, int] | None:
        """The settings file's stamp at this moment (see ``stamp``). Take it before a read, never after:
        a write in between would pass for one that was read."""
        return _stamp(self.paths.config)

    def file_changed(self) -> bool:
        """Whether the settings file is another one than at the time of this load."""
        return self.stamp_now() != self.stamp

    def entries(self) -> Iterator[tuple[str, Any, str]]:
        """(dotted key, value, origin) of every effective setting, in the order of the model."""
        yield from _entries(self.settings, (), self.origins)
        for name in sorted(set(self.sections) - set(self.unset)):
            yield from _entries(self.sections[name], tuple(name.split(".", 1)), self.origins)


def load(
    *,
    home: Path | None = None,
    config: Path | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    sections: Mapping[str, Any] | None = None,
    keep_unknown: bool = False,
) -> Loaded:
    """Read, check and type all settings.

    ``home``, ``config``: the flags of that name. ``env``: os.environ when left out. ``flags``: dotted key →
    value from other flags of the command. ``sections``: name of a handler's section (``music``,
    ``handlers.<name>``) → its type; ``Any`` keeps a section as written. Without it, tables that the core
    does not know are kept unchecked: enough for commands that run no handler. ``keep_unknown`` does so
    for tables that ``sections`` does not name: a handler that can't be loaded can't name its own.

    Raises ConfigError with all ``problems``.
    """
    return _load(
        Request(
            home,
            config,
            MappingProxyType(dict(os.environ if env is None else env)),
            MappingProxyType(dict(flags or {})),
            None if sections is None else MappingProxyType(dict(sections)),
            keep_unknown or sections is None,
        )
    )


def reload(previous: Loaded) -> Loaded:
    """Read everything again as ``previous`` was read. Raises ConfigError; the caller then keeps
    ``previous`` and says so."""
    return _load(previous.request)


def changed_keys(before: Loaded, after: Loaded) -> list[str]:
    """Dotted keys whose value differs, for the log of a reload. Secrets by name."""
    old, new = ({key: value for key, value, _ in loaded.entries()} for loaded in (before, after))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    names = {*before.secrets, *after.secrets}
    return keys + [f"secrets.{n}" for n in sorted(names) if _revealed(before, n) != _revealed(after, n)]


def _revealed(loaded: Loaded, name: str) -> str | None:
    return loaded.secrets[name].reveal() if name in loaded.secrets else None


def _load(request: Request) -> Loaded:
    place = find_place(request.home, request.config, request.env)
    stamp = _stamp(place.config)
    given = read_file(place.config, must_exist=place.named)
    root = _root(request.sections)
    add_environment(given, request.env, root, strict=not request.keep_unknown)
    for key, value in request.flags.items():
        given.put(tuple(key.split(".")), value, COMMAND_LINE, text=False)
    secrets, secret_problems = find(request.env)
    reader = Reader(given)
    values = _read_core(reader, given.tree)
    sections, unset = _read_sections(reader, given, root, request)
    problems = [*given.problems, *reader.problems, *secret_problems]
    settings = Settings(**values)
    problems += wrong_together(settings, given, secrets)
    if problems:
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise ConfigError(
            f"the settings have {count}",
            hint="correct the places that are named; docs/settings.md has every key",
            problems=tuple(problems),
        )
    return Loaded(
        settings=settings,
        sections=sections,
        unset=unset,
        origins={dotted(path): given.origin(path) for path in _leaves(given.tree, ()) if path},
        paths=lay_out(place, settings),
        secrets=secrets,
        request=request,
        stamp=stamp,
    )


def _root(sections: Mapping[str, Any] | None) -> dict[str, Any]:
    """Top-level name → type; ``handlers`` is a table of sections."""
    root: dict[str, Any] = {f.name: f.type for f in shape.fields_of(Settings)}
    for name, kind in (sections or {}).items():
        table, _, inner = name.partition(".")
        if inner:
            root.setdefault(table, {})[inner] = kind
        else:
            root[table] = kind
    return root


def _read_core(reader: Reader, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of the core that were given; what has a mistake is left at its default."""
    found = {
        f.name: reader.read(f.type, tree[f.name], (f.name,))
        for f in shape.fields_of(Settings)
        if f.name in tree
    }
    return {name: value for name, value in found.items() if value is not BAD}


def _read_sections(
    reader: Reader, given: Given, root: Mapping[str, Any], request: Request
) -> tuple[dict[str, Any], dict[str, str]]:
    core = {f.name for f in shape.fields_of(Settings)}
    rest = {name: value for name, value in given.tree.items() if name not in core}
    if request.sections is None:
        return rest, {}
    values: dict[str, Any] = {}
    unset: dict[str, str] = {}
    for name, value in rest.items():
        if name not in root:
            if request.keep_unknown:
                values[name] = value
            else:
                _unknown(reader, given, (name,), [*root])
        elif isinstance(root[name], Mapping) and isinstance(value, Mapping):
            for inner in value:
                if inner not in root[name] and not request.keep_unknown:
                    _unknown(reader, given, (name, inner), [*root[name]])
    for name, kind in request.sections.items():
        path = tuple(name.split(".", 1))
        raw = _at(given.tree, path)
        if raw is None:
            alone = Reader(given)
            values[name] = alone.read(kind, {}, path)
            if values[name] is BAD:
                values[name], unset[name] = None, "; ".join(alone.problems)
        else:
            values[name] = reader.read(kind, raw, path)
    return values, unset


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _unknown(reader: Reader, given: Given, path: tuple[str, ...], known: list[str]) -> None:
    place = given.origin(path)
    reader.problems.append(f"{dotted(path)}: unknown section{did_you_mean(path[-1], known)} ({place})")


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Path of every value that was written."""
    rows: Any = ()
    if isinstance(tree, Mapping):
        rows = tree.items()
    elif isinstance(tree, list) and tree and isinstance(tree[0], Mapping):
        rows = ((str(i), row) for i, row in enumerate(tree))
    if not rows and tree != {}:
        yield path
    for key, inner in rows:
        yield from _leaves(inner, (*path, key))


def _entries(value: Any, path: tuple[str, ...], origins: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    fields = shape.fields_of(type(value))
    if fields:
        rows = [(f.name, getattr(value, f.name)) for f in fields]
    elif isinstance(value, Mapping) and value:
        rows = list(value.items())
    elif isinstance(value, tuple | list) and value and shape.fields_of(type(value[0])):
        rows = [(str(i), row) for i, row in enumerate(value)]
    else:
        if not shape.is_table(type(value)) or isinstance(value, Mapping):
            key = dotted(path)
            yield key, msgspec.to_builtins(value, str_keys=True), origins.get(key, DEFAULT)
        return
    for key, inner in rows:
        yield from _entries(inner, (*path, key), origins)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


__all__ = ["Loaded", "Paths", "Place", "Request", "changed_keys", "load", "reload"]
