"""What a settings type looks like: its fields, and a type in words.

A type is a msgspec Struct, a dataclass, or a table of them (``dict[str, X]``), so that a handler may declare
its section with either. The reader, the reference page and the file that ``init`` writes all ask here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

_LISTS = (tuple, list, set, frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key. ``type`` keeps its ``Annotated`` constraints; ``default`` is None for a required key."""

    name: str
    type: Any
    required: bool
    default: Any
    description: str


def fields_of(cls: Any) -> tuple[Field, ...]:
    """The keys of a Struct or dataclass, in order; none for any other class."""
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        return tuple(
            _field(f.name, f.type, f.default, f.default_factory, msgspec.NODEFAULT)
            for f in msgspec.structs.fields(cls)
        )
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        return tuple(
            _field(f.name, hints[f.name], f.default, f.default_factory, dataclasses.MISSING)
            for f in dataclasses.fields(cls)
            if f.init
        )
    return ()


def _field(name: str, kind: Any, default: Any, factory: Any, missing: object) -> Field:
    if factory is not missing:
        default = factory()
    required = default is missing
    return Field(
        name=name,
        type=kind,
        required=required,
        default=None if required else default,
        description=_metas(kind, lambda m: m.description) or "",
    )


def _metas(kind: Any, pick: Callable[[Meta], Any]) -> Any:
    if get_origin(kind) is not Annotated:
        return None
    found = [pick(m) for m in get_args(kind)[1:] if isinstance(m, Meta)]
    return next((f for f in found if f is not None), None)


def plain(kind: Any) -> Any:
    """The type without ``Annotated`` and without ``| None``."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType):
            rest = [a for a in get_args(kind) if a is not type(None)]
            if len(rest) != 1:
                return kind
            kind = rest[0]
        else:
            return kind


def is_table(kind: Any) -> bool:
    """A type whose keys are known: a Struct, a dataclass, or a plain class without any."""
    kind = plain(kind)
    if not isinstance(kind, type) or get_origin(kind) is not None:
        return False
    builtin = kind.__module__ in ("builtins", "datetime", "pathlib") or kind is Any
    return (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or (not builtin and not getattr(kind, "__annotations__", {}) and kind.__init__ is object.__init__)
    )


def values_of(kind: Any) -> Any:
    """``X`` of a ``dict[str, X]``, None for other types."""
    kind = plain(kind)
    return get_args(kind)[1] if get_origin(kind) is dict else None


def keys_of(kind: Any) -> tuple[str, ...]:
    """The keys that a table may have: those of its type, or those that ``Meta(extra={"keys": …})`` of a
    ``dict`` lists. Nothing = any."""
    listed: tuple[str, ...] = _metas(kind, lambda m: (m.extra or {}).get("keys")) or ()
    return listed or tuple(f.name for f in fields_of(plain(kind)))


def items_of(kind: Any) -> Any:
    """``X`` of a ``tuple[X, …]``, ``list[X]`` or ``set[X]``, None for other types."""
    kind = plain(kind)
    return get_args(kind)[0] if get_origin(kind) in _LISTS and get_args(kind) else None


def choices_of(kind: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``, else nothing."""
    kind = plain(kind)
    return get_args(kind) if get_origin(kind) is Literal else ()


def in_words(kind: Any) -> str:
    """What is expected, for a person: ``a number > 0``, ``one of: store, verify``, ``a list of text``."""
    inner = plain(kind)
    if choices := choices_of(inner):
        return "one of: " + ", ".join(map(str, choices))
    if (item := items_of(inner)) is not None:
        return f"a list of {_many(item)}"
    if (value := values_of(inner)) is not None:
        return f"a table of {_many(value)}"
    if is_table(inner):
        return "a table"
    words = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
    return " ".join([words.get(inner, getattr(inner, "__name__", str(inner))), *_bounds(kind)])


def _many(kind: Any) -> str:
    inner = plain(kind)
    words = {str: "text", int: "whole numbers", float: "numbers", bool: "true or false"}
    return words.get(inner, "tables" if is_table(inner) else in_words(inner))


def _bounds(kind: Any) -> list[str]:
    signs: list[tuple[str, Callable[[Meta], Any]]] = [
        ("≥", lambda m: m.ge),
        (">", lambda m: m.gt),
        ("≤", lambda m: m.le),
        ("<", lambda m: m.lt),
    ]
    found = [(sign, _metas(kind, pick)) for sign, pick in signs]
    text = [f"{sign} {bound:g}" for sign, bound in found if bound is not None]
    pattern = _metas(kind, lambda m: m.pattern)
    length = _metas(kind, lambda m: m.min_length)
    if pattern:
        text.append(f"that matches {pattern}")
    if length:
        text.append("that is not empty" if length == 1 else f"of at least {length}")
    return text
