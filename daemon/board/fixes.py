"""What a person should change about a database, said exactly; and which of it can be added for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from daemon.board.aliases import status_likeness
from daemon.board.columns import SPECS, WRITTEN
from daemon.board.proposal import Addition, Choice
from daemon.board.schema import folded, listed, option_ids
from daemon.core.status import Status

TEXT_INSTEAD = frozenset({"agent", "handler", "task_type"})
"""Added as text: a handler that a plugin adds, an agent that is registered later and a new task type need no
change of the schema then."""


def fixes_of(
    properties: Mapping[str, Any],
    chosen: Mapping[str, Choice],
    statuses: Mapping[str, Choice],
    unwanted: Set[str],
) -> Iterator[str | Addition]:
    """All fixes, in order. ``chosen``, ``statuses``: the proposed mapping; ``unwanted``: keys that the
    settings say to go without."""
    for key, spec in SPECS.items():
        if key in chosen or key in unwanted:
            continue
        wrong = next((n for n in properties if folded(n) == folded(spec.name)), None)
        kind = "rich_text" if key in TEXT_INSTEAD else spec.types[0]
        if wrong is not None:
            go_without = f', or go without: {key} = "" in [board.properties] ({spec.serves} is off then)'
            yield (
                f"{key}: {unfit(wrong, properties)}; "
                f"add a property “{spec.name} 2” of type {kind} and set board.properties.{key} to it"
                + ("" if spec.required else go_without)
            )
        elif spec.required:
            kinds = " or ".join(spec.types)
            text = f"{key}: add a property “{spec.name}” of type {kinds}: nothing works without it"
            yield Addition(key=key, name=spec.name, kind=kind, text=text)
        else:
            text = f"{key}: to have {spec.serves}, add a property “{spec.name}” of type {kind}"
            yield Addition(key=key, name=spec.name, kind=kind, text=text)
    if column := chosen.get("status"):
        yield from _options(column, option_ids(properties[column.name]), statuses)
    yield from _twins(properties)


def unfit(name: str, properties: Mapping[str, Any]) -> str:
    """That a property's type is none that its key can have, in words."""
    return f"“{name}” has type {properties[name].get('type')}, which can't serve"


def _options(
    column: Choice, present: Iterable[str], statuses: Mapping[str, Choice]
) -> Iterator[str | Addition]:
    """Options of the status property that are missing, and those that say what another one is used for."""
    taken = {choice.name for choice in statuses.values()}
    free = [name for name in present if name not in taken]
    for status in WRITTEN:
        if status.value not in statuses:
            text = (
                f"status: add the option “{status.value}” to “{column.name}”, "
                f"or map one that is free ({listed(free)}) in [board.status]"
            )
            yield Addition(key="status", name=column.name, kind=column.type, option=status.value, text=text)
    for name in free:
        meant = [s for s in Status if s.value in statuses and status_likeness(s, name)[0]]
        if meant:
            used = statuses[meant[0].value].name
            yield (
                f"status: “{name}” says the same as “{used}”, which stands for {meant[0].value}; rows "
                f"with it are left alone and count as unfinished: give them “{used}” and delete “{name}”"
            )


def _twins(properties: Mapping[str, Any]) -> Iterator[str]:
    """Names that differ only in case, spaces or signs: a person, and a script, takes one for the other."""
    by_fold: dict[str, list[str]] = {}
    for name in sorted(properties):
        by_fold.setdefault(folded(name), []).append(name)
    for names in by_fold.values():
        if len(names) > 1:
            alike = listed(sorted(names))
            yield f"{alike} differ only in case, spaces or signs: rename or delete all but one"
    for name in sorted(properties):
        if name != name.strip():
            yield f"“{name}” has spaces at its end or start: take them away"
