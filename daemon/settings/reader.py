"""Raw values → typed sections. Goes on after a mistake, so that all of them are told at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.settings import shape
from daemon.settings.redact import Redactor
from daemon.settings.sources import Given, did_you_mean, dotted
from daemon.settings.toml_lines import Path

BAD: Any = object()
"""Stands for a value that could not be read; the reason is among the problems."""

_SHOWN = 60
_MASK = Redactor()


class Reader:
    """Reads one raw tree. ``problems`` grows; ``given.origins`` says where each wrong value stands."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self.problems: list[str] = []

    def read(self, kind: Any, raw: Any, path: Path) -> Any:
        """The typed value at ``path``, or BAD."""
        if kind is Any or shape.plain(kind) in (object, dict):
            return raw
        if path in self._given.texts:
            return self._text(kind, raw, path)
        if shape.is_table(kind):
            return self._table(shape.plain(kind), raw, path)
        if shape.values_of(kind) is not None:
            return self._by_name(kind, raw, path)
        item = shape.items_of(kind)
        if item is not None and shape.is_table(item) and isinstance(raw, list):
            rows = [self.read(item, row, (*path, str(i))) for i, row in enumerate(raw)]
            return self._convert(kind, [row for row in rows if row is not BAD], path, strict=True)
        return self._convert(kind, raw, path, strict=True)

    def _table(self, cls: Any, raw: Any, path: Path) -> Any:
        if not isinstance(raw, Mapping):
            return self._wrong(path, "a table", raw)
        fields = {f.name: f for f in shape.fields_of(cls)}
        for key in raw:
            if key not in fields:
                self._say((*path, key), f"unknown key{did_you_mean(key, fields)}")
        values: dict[str, Any] = {}
        for name, f in fields.items():
            if name in raw:
                values[name] = self.read(f.type, raw[name], (*path, name))
            elif f.required:
                values[name] = BAD
                self._say((*path, name), f"is missing; expected {shape.in_words(f.type)}")
        if any(values[name] is BAD for name, f in fields.items() if f.required):
            return BAD
        try:
            # A wrong value is left out here: its default lets the checks that follow find the other mistakes.
            return cls(**{name: value for name, value in values.items() if value is not BAD})
        except (TypeError, ValueError) as error:
            self._say(path, str(error))
            return BAD

    def _by_name(self, kind: Any, raw: Any, path: Path) -> Any:
        if not isinstance(raw, Mapping):
            return self._wrong(path, shape.in_words(kind), raw)
        inner = shape.values_of(kind)
        allowed = shape.keys_of(kind)
        for key in raw:
            if allowed and key not in allowed:
                self._say((*path, key), f"unknown key{did_you_mean(key, allowed)}")
        rows = {key: self.read(inner, value, (*path, key)) for key, value in raw.items()}
        return {key: value for key, value in rows.items() if value is not BAD}

    def _text(self, kind: Any, raw: str, path: Path) -> Any:
        """A value from the environment: typed by what is expected, lists parted by commas."""
        if shape.is_table(kind) or shape.values_of(kind) is not None:
            return self._wrong(path, f"{shape.in_words(kind)}: set one of its keys instead", raw)
        item = shape.items_of(kind)
        if item is None:
            return self._convert(kind, raw, path, strict=False)
        if shape.is_table(item):
            return self._wrong(path, "tables, which only the file can hold", raw)
        parts = [part.strip() for part in raw.split(",") if part.strip()]
        return self._convert(kind, parts, path, strict=False)

    def _convert(self, kind: Any, raw: Any, path: Path, *, strict: bool) -> Any:
        if isinstance(raw, float) and not math.isfinite(raw):
            return self._wrong(path, "a finite number", raw)
        try:
            value = msgspec.convert(raw, kind, strict=strict, from_attributes=False)
        except msgspec.ValidationError:
            return self._wrong(path, shape.in_words(kind), raw)
        if isinstance(value, float) and not math.isfinite(value):
            return self._wrong(path, "a finite number", raw)
        return value

    def _wrong(self, path: Path, expected: str, got: Any) -> Any:
        shown = _MASK.text(repr(got))
        if len(shown) > _SHOWN:
            shown = shown[:_SHOWN] + "…"
        choices = expected.removeprefix("one of: ").split(", ") if expected.startswith("one of: ") else []
        near = did_you_mean(got, choices) if isinstance(got, str) and choices else ""
        self._say(path, f"expected {expected}, got {shown}{near if 'did you mean' in near else ''}")
        return BAD

    def _say(self, path: Path, what: str) -> None:
        place = self._given.origin(path)
        self.problems.append(f"{dotted(path)}: {what} ({place})")
