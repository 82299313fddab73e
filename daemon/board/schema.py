"""Binding: our keys ↔ the board's properties. By name at the first contact, pinned by property id from then
on.

Pinned ids survive renames of properties and of status options (incidents AT-5, AT-15, AT-16). All that is
wrong is found at once and said with what to do. Nothing here changes a schema.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.board.columns import SPECS, WRITTEN, Spec
from daemon.core.errors import ConfigError
from daemon.core.status import Status

_CHOICES = ("select", "status", "multi_select")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One bound property. ``options``: option id → name, for select, status and multi_select."""

    key: str
    id: str
    name: str
    type: str
    options: Mapping[str, str] = field(default_factory=dict)

    def option_id(self, name: str) -> str | None:
        """Id of the option with exactly this name."""
        return next((id_ for id_, text in self.options.items() if text == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The bound schema. ``statuses``: canonical status → option id; ``missing``: optional keys without a
    property; ``renamed``: what changed its name since it was pinned, in words."""

    columns: Mapping[str, Column]
    statuses: Mapping[Status, str]
    missing: tuple[str, ...]
    renamed: tuple[str, ...] = ()

    def has(self, key: str) -> bool:
        """Is there a property for this key?"""
        return key in self.columns

    def status_name(self, status: Status) -> str:
        """The option's present name on the board. ConfigError when the board has none for it."""
        return self.columns["status"].options[self.status_id(status)]

    def status_id(self, status: Status) -> str:
        """The option's id. ConfigError when the board has none for it."""
        found = self.statuses.get(status)
        if found is None:
            column = self.columns["status"]
            raise ConfigError(
                f"the board has no status option for “{status.value}”",
                hint=f"add it to “{column.name}” (it has {listed(column.options.values())}), "
                f"or map it in board.status",
            )
        return found

    def canonical(self, option_id: str, name: str) -> Status | None:
        """What a page's status option means; by id, else by name (an option that was made anew)."""
        for status, bound in self.statuses.items():
            if bound == option_id:
                return status
        present = self.columns["status"].options
        for status, bound in self.statuses.items():
            if present.get(bound) == name:
                return status
        return None


def bind(
    properties: Mapping[str, Any],
    names: Mapping[str, str],
    status_names: Mapping[str, str],
    pinned: Binding | None = None,
) -> Binding:
    """Bind a data source's ``properties`` (as the API gives them).

    ``names``: key → property name from the settings ("" = go without it); ``status_names``: canonical status
    → option name. ``pinned``: the last good binding, whose ids go before names. Raises ConfigError with every
    problem.
    """
    problems = _unknown_keys(names)
    columns: dict[str, Column] = {}
    missing: list[str] = []
    renamed: list[str] = []
    for key, spec in SPECS.items():
        old = pinned.columns.get(key) if pinned else None
        column, problem = _bind_one(spec, properties, names.get(key), old)
        if problem:
            problems.append(problem)
        elif column is None:
            missing.append(key)
        else:
            columns[key] = column
            if old and old.name != column.name:
                renamed.append(f"property “{old.name}” is now “{column.name}”")
    statuses: dict[Status, str] = {}
    if "status" in columns:
        statuses = _bind_statuses(columns["status"], status_names, pinned, problems, renamed)
    problems.extend(_bound_twice(columns))
    if problems:
        raise ConfigError(
            f"the board's schema does not fit: {len(problems)} problem{'s' if len(problems) > 1 else ''}",
            problems=tuple(problems),
            hint="change the property in Notion, or name another one in [board.properties] / [board.status]; "
            "`handoffd doctor` proposes a mapping",
        )
    return Binding(columns=columns, statuses=statuses, missing=tuple(missing), renamed=tuple(renamed))


def listed(names: Iterable[str]) -> str:
    """Names in quotes, for messages."""
    return ", ".join(f"“{n}”" for n in names) or "none"


def near(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant: same but for case, spaces, dashes; else a close spelling."""
    pool = list(names)
    for other in pool:
        if folded(other) == folded(name):
            return other
    close = difflib.get_close_matches(name, pool, n=1, cutoff=0.75)
    return close[0] if close else None


def folded(name: str) -> str:
    """A name without case, spaces and signs."""
    return "".join(c for c in name.casefold() if c.isalnum())


def _unknown_keys(names: Mapping[str, str]) -> list[str]:
    out = []
    for key in names:
        if key not in SPECS:
            guess = near(key, SPECS)
            out.append(f"board.properties.{key} is not a key" + (f"; did you mean {guess}?" if guess else ""))
    return out


def _bind_one(
    spec: Spec, properties: Mapping[str, Any], named: str | None, old: Column | None
) -> tuple[Column | None, str]:
    if named == "" and not spec.required:
        return None, ""
    wanted = named or spec.name
    found = _by_id(properties, old.id) if old else None
    if found is None:
        found = wanted if wanted in properties else None
    if found is None and spec.key == "title" and not named:
        found = next((n for n, p in properties.items() if p.get("type") == "title"), None)
    if found is None:
        if not (spec.required or named):
            return None, ""
        guess = near(wanted, properties)
        also = f"; did you mean “{guess}”?" if guess else ""
        return None, f"{spec.key}: there is no property “{wanted}”{also}"
    kind = str(properties[found].get("type", ""))
    if kind not in spec.types:
        fix = f"make it {' or '.join(spec.types)}, or name another one in board.properties.{spec.key}"
        if not spec.required:
            fix += ' ("" = go without)'
        return None, f"{spec.key}: “{found}” has type {kind}; {fix}"
    return column_of(spec.key, found, properties[found]), ""


def _by_id(properties: Mapping[str, Any], wanted: str) -> str | None:
    return next((name for name, p in properties.items() if p.get("id") == wanted), None)


def option_ids(config: Mapping[str, Any]) -> dict[str, str]:
    """Option name → id of a select or status property, in the board's order."""
    inner = config.get(str(config.get("type", ""))) or {}
    return {str(option["name"]): str(option.get("id", "")) for option in inner.get("options") or []}


def column_of(key: str, name: str, config: Mapping[str, Any]) -> Column:
    """A property of the schema (``config`` as the API gives it) under one of our keys."""
    kind = str(config["type"])
    options: dict[str, str] = {}
    if kind in _CHOICES:
        for option in (config.get(kind) or {}).get("options") or []:
            options[str(option["id"])] = str(option["name"])
    return Column(key=key, id=str(config["id"]), name=name, type=kind, options=options)


def _bind_statuses(
    column: Column,
    names: Mapping[str, str],
    pinned: Binding | None,
    problems: list[str],
    renamed: list[str],
) -> dict[Status, str]:
    by_word = {folded(s.value): s for s in Status}
    wanted: dict[Status, str] = {}
    for word, name in names.items():
        status = by_word.get(folded(word))
        if status is None:
            problems.append(
                f"board.status.{word} is not a status; they are {listed(s.value for s in Status)}"
            )
        else:
            wanted[status] = name
    out: dict[Status, str] = {}
    for status in Status:
        name = wanted.get(status, status.value)
        old = pinned.statuses.get(status) if pinned else None
        if pinned and old is not None and old in column.options:
            out[status] = old
            before = pinned.columns["status"].options.get(old)
            if before != column.options[old]:
                renamed.append(f"status option “{before}” is now “{column.options[old]}”")
            continue
        found = column.option_id(name)
        if found is not None:
            out[status] = found
        elif status in WRITTEN or status in wanted:
            problems.append(_no_option(column, status, name))
    problems.extend(_shared_options(out, column))
    return out


def _no_option(column: Column, status: Status, name: str) -> str:
    guess = near(name, column.options.values())
    fix = f'; set board.status."{status.value}" = "{guess}"' if guess else ""
    return f"status: “{column.name}” has no option “{name}”; it has {listed(column.options.values())}{fix}"


def _shared_options(statuses: Mapping[Status, str], column: Column) -> list[str]:
    by_option: dict[str, list[Status]] = {}
    for status, option in statuses.items():
        by_option.setdefault(option, []).append(status)
    alone = {Status.READY, Status.IN_PROGRESS, Status.WAITING}
    return [
        f"status: {listed(s.value for s in shared)} are all “{column.options[option]}”; "
        "Ready, In Progress and Waiting need options of their own"
        for option, shared in by_option.items()
        if len(shared) > 1 and alone.intersection(shared)
    ]


def _bound_twice(columns: Mapping[str, Column]) -> list[str]:
    users: dict[str, list[str]] = {}
    for key, column in columns.items():
        users.setdefault(column.id, []).append(key)
    return [
        f"{' and '.join(keys)}: both are bound to “{columns[keys[0]].name}”"
        for keys in users.values()
        if len(keys) > 1
    ]
