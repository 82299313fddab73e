"""Handlers, found by entry point. One that fails to load is recorded with its reason and skipped."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

from daemon.core.errors import ConfigError
from daemon.core.gates import HandlerFacts
from daemon.core.snapshot import HandlerRecord
from daemon.core.task import Task
from daemon.core.text import one_line
from daemon.sdk import handler as complete

GROUP = "handoffd.handlers"

_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})
"""Notion turns straight quotes into these while a person types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A usable handler: the instance and where it came from."""

    name: str
    handler: Any
    dist: str
    version: str


class Registry:
    """Name → handler. ``records`` tells of every one that was found, usable or not."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        self._handlers: dict[str, Registered] = {}
        self.records: list[HandlerRecord] = []
        for point in sorted(found if found is not None else entry_points(group=GROUP), key=lambda p: p.name):
            self._load(point)

    def _load(self, point: EntryPoint) -> None:
        dist = point.dist.name if point.dist else ""
        version = point.dist.version if point.dist else ""
        try:
            cls = complete(point.load())
            if cls.name != point.name:
                raise TypeError(f"its name is {cls.name!r}, the entry point says {point.name!r}")
            if point.name in self._handlers:
                raise TypeError(f"{self._handlers[point.name].dist} has a handler of this name already")
            instance = cls()
        # A third party's module may raise anything while it is imported; it must not stop the daemon.
        except Exception as error:  # noqa: BLE001
            reason = one_line(f"{type(error).__name__}: {error}", 400)
            self.records.append(
                HandlerRecord(name=point.name, state="load_error", dist=dist, version=version, reason=reason)
            )
            return
        self._handlers[point.name] = Registered(name=point.name, handler=instance, dist=dist, version=version)
        self.records.append(HandlerRecord(name=point.name, state="loaded", dist=dist, version=version))

    def get(self, name: str) -> Registered | None:
        """A usable handler by name."""
        return self._handlers.get(name)

    def names(self) -> list[str]:
        """Names of the usable ones."""
        return sorted(self._handlers)

    def facts(self) -> dict[str, HandlerFacts]:
        """What the dispatch gates need to know of each handler that was found."""
        out = {r.name: HandlerFacts(name=r.name, trouble=r.reason) for r in self.records}
        for name, registered in self._handlers.items():
            out[name] = HandlerFacts(name=name, refuses_past_due=registered.handler.refuses_past_due)
        return out

    def param_error(self, handler: str, parameters: str) -> str | None:
        """What is wrong with a task's Parameters for ``handler``, None = nothing (or no such handler)."""
        registered = self._handlers.get(handler)
        if registered is None:
            return None
        try:
            typed_parameters(registered.handler.Params, parse_parameters(parameters))
        except ConfigError as error:
            return error.one_line()
        return None

    def takeover(self, handler: str) -> str:
        """What the handler declares for attempts whose host is gone; ``stay`` for one that is not here."""
        registered = self._handlers.get(handler)
        return str(registered.handler.takeover) if registered else "stay"

    def offers(self, section: Callable[[str], Any], home: Path) -> frozenset[str]:
        """What the usable handlers have here beside themselves. ``section``: settings of a handler."""
        offering = [r for r in self._handlers.values() if hasattr(r.handler, "offers")]
        return frozenset(str(o) for r in offering for o in r.handler.offers(section(r.name), home))

    def needs(self, handler: str, task: Task, section: Callable[[str], Any]) -> frozenset[str]:
        """What ``task`` needs of a host beside its handler; nothing when its Parameters are wrong (another
        gate says so) or the handler is not here (its hosts know)."""
        registered = self._handlers.get(handler)
        if registered is None or not hasattr(registered.handler, "needs"):
            return frozenset()
        try:
            params = typed_parameters(registered.handler.Params, parse_parameters(task.parameters))
        except ConfigError:
            return frozenset()
        return frozenset(str(n) for n in registered.handler.needs(task, params, section(handler)))

    def found(self) -> list[HandlerRecord]:
        """Every handler that was found, usable or not."""
        return list(self.records)

    def sections(self) -> dict[str, Any]:
        """Section of the settings file → type, for the settings loader."""
        return {r.handler.section: r.handler.Settings for r in self._handlers.values()}


def parse_parameters(text: str) -> dict[str, Any]:
    """The task's Parameters: TOML lines; a value that is not TOML is taken as text (``since = 7d``).

    Raises ConfigError naming the line that is not ``key = value``.
    """
    plain = text.translate(_QUOTES).strip()
    if not plain:
        return {}
    try:
        return tomllib.loads(plain)
    except tomllib.TOMLDecodeError:
        return _line_by_line(plain)


def _line_by_line(plain: str) -> dict[str, Any]:
    lines = []
    for number, raw in enumerate(plain.splitlines(), 1):
        line = raw.strip()
        try:
            tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not key or not value:
                raise ConfigError(
                    f"Parameters line {number} is not `key = value`: {one_line(line, 80)}",
                    hint='write for example: since = "7d"',
                ) from None
            line = f"{key} = {json.dumps(value)}"  # a JSON text is a TOML basic string
        lines.append(line)
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"Parameters: {error}", hint="write one `key = value` a line") from error


def typed_parameters(params_type: type, values: dict[str, Any]) -> Any:
    """``values`` as the handler's Params. ConfigError names what is unknown or of the wrong type."""
    known = _field_names(params_type)
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(
            f"unknown parameter {', '.join(one_line(u, 40) for u in unknown)}",
            hint=f"known: {', '.join(sorted(known)) or 'none'}",
        )
    try:
        return msgspec.convert(values, params_type, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"Parameters: {error}", hint="correct the value") from error


def _field_names(params_type: type) -> set[str]:
    if is_dataclass(params_type):
        return {f.name for f in dataclass_fields(params_type)}
    return set(getattr(params_type, "__struct_encode_fields__", ()))
