"""A mapping proposal for an existing database: which property could serve which key, how sure, and what to
fix.

Pure: it looks at a schema as the API gives it and changes nothing. Same name first, then the same but for
case, spaces and signs, then other names that people give such a property, then a close spelling; always
among the types that the key accepts. One property serves one key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from daemon.board.aliases import likeness, status_likeness
from daemon.board.columns import SPECS
from daemon.board.fixes import fixes_of, unfit
from daemon.board.proposal import Addition, Choice, Proposal
from daemon.board.schema import Binding, option_ids
from daemon.core.status import Status


def propose(
    properties: Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
    status_names: Mapping[str, str] | None = None,
    pinned: Binding | None = None,
) -> Proposal:
    """The best mapping for a data source's ``properties``, as the API gives them.

    ``names``, ``status_names``: what the settings say (key → property, status → option); it is kept where the
    board has it. ``pinned``: ids from an earlier start; they go before every name, as in ``schema.bind``.
    """
    names, status_names = names or {}, status_names or {}
    given = dict(_given(properties, names, pinned))
    unwanted = {key for key, name in names.items() if name == "" and not SPECS[key].required} & set(SPECS)
    found = sorted(_candidates(properties), key=lambda c: (-c.confidence, c.key, c.name))
    chosen: dict[str, Choice] = dict(given)
    taken = {choice.name for choice in given.values()}
    for choice in found:
        if choice.key in chosen or choice.name in taken or choice.key in unwanted:
            continue
        others = tuple(c.name for c in found if c.key == choice.key and c.name != choice.name)
        chosen[choice.key] = replace(choice, others=others)
        taken.add(choice.name)
    ordered = {key: chosen[key] for key in SPECS if key in chosen}
    statuses = _statuses(properties, ordered.get("status"), status_names, pinned)
    fixes = list(fixes_of(properties, ordered, statuses, unwanted))
    blocked = {
        key: unfit(SPECS[key].name, properties)
        for key in SPECS
        if key not in ordered and key not in unwanted and not SPECS[key].required
        if not names.get(key) and SPECS[key].name in properties
    }
    said = [
        name_asked(key, names) == c.name for key, c in ordered.items() if key != "title" or names.get(key)
    ]
    said += [status_names.get(status, status) == c.name for status, c in statuses.items()]
    return Proposal(
        properties=ordered,
        statuses=statuses,
        fixes=tuple(fix.text if isinstance(fix, Addition) else fix for fix in fixes),
        additions=tuple(fix for fix in fixes if isinstance(fix, Addition)),
        drift=tuple(_drift(ordered, statuses, pinned, names, status_names)),
        off={key: spec.serves for key, spec in SPECS.items() if key not in ordered},
        without={key: "as the settings say" for key in SPECS if key in unwanted} | blocked,
        asked=all(said) and not blocked,
    )


def name_asked(key: str, names: Mapping[str, str]) -> str:
    """What the settings call the property of a key."""
    return names.get(key) or SPECS[key].name


def _given(
    properties: Mapping[str, Any], names: Mapping[str, str], pinned: Binding | None
) -> Iterator[tuple[str, Choice]]:
    by_id = {str(config.get("id")): name for name, config in properties.items()}
    for key, spec in SPECS.items():
        if names.get(key) == "" and not spec.required:
            continue
        pin = pinned.columns.get(key) if pinned else None
        name, because = names.get(key, ""), "as the settings say"
        if pin is not None and pin.id in by_id:
            name = by_id[pin.id]
            because = "pinned by its id" + ("" if name == pin.name else f"; it was called “{pin.name}”")
        kind = str(properties.get(name, {}).get("type", ""))
        if name in properties and kind in spec.types:
            yield key, Choice(key=key, name=name, type=kind, confidence=1.0, because=because)


def _drift(
    chosen: Mapping[str, Choice],
    statuses: Mapping[str, Choice],
    pinned: Binding | None,
    names: Mapping[str, str],
    status_names: Mapping[str, str],
) -> Iterator[str]:
    """What is called otherwise than it was when it was pinned, or than the settings still call it: a running
    daemon pins each new name, and the settings stay behind."""
    if pinned is None:
        return
    for key, column in pinned.columns.items():
        now = chosen.get(key)
        if now is None:
            yield f"property “{column.name}” ({key}) is gone, and with it {SPECS[key].serves}"
            continue
        asked = now.name if key == "title" and not names.get(key) else name_asked(key, names)
        before = column.name if column.name != now.name else asked
        if now.name != before:
            yield f"property “{before}” ({key}) is now “{now.name}”"
    options = pinned.columns["status"].options if "status" in pinned.columns else {}
    for status, option in pinned.statuses.items():
        choice = statuses.get(status.value)
        if choice is None:
            yield f"status option “{options[option]}” ({status.value}) is gone"
            continue
        asked = status_names.get(status.value, status.value)
        before = options[option] if options[option] != choice.name else asked
        if choice.name != before:
            yield f"status option “{before}” ({status.value}) is now “{choice.name}”"


def _candidates(properties: Mapping[str, Any]) -> Iterator[Choice]:
    for spec in SPECS.values():
        for name, config in properties.items():
            kind = str(config.get("type", ""))
            if kind not in spec.types:
                continue
            confidence, because = (
                (1.0, "a database has one title") if spec.key == "title" else likeness(spec, name)
            )
            if confidence:
                # Of two alike, the type that is listed first serves better.
                rank = spec.types.index(kind) / 100
                yield Choice(
                    key=spec.key,
                    name=name,
                    type=kind,
                    confidence=round(confidence - (rank if confidence < 1 else 0), 2),
                    because=because,
                )


def _statuses(
    properties: Mapping[str, Any],
    column: Choice | None,
    status_names: Mapping[str, str],
    pinned: Binding | None,
) -> dict[str, Choice]:
    if column is None:
        return {}
    names = option_ids(properties[column.name])
    out = dict(_given_statuses(properties[column.name], status_names, pinned))
    taken = {choice.name for choice in out.values()}
    fits = [
        (confidence, status, name, because)
        for status in Status
        for name in names
        for confidence, because in [status_likeness(status, name)]
        if confidence
    ]
    order = list(Status)
    for confidence, status, name, because in sorted(fits, key=lambda f: (-f[0], order.index(f[1]), f[2])):
        if status.value not in out and name not in taken:
            others = tuple(n for c, s, n, _ in fits if s is status and n != name and c)
            out[status.value] = Choice(
                key=status.value,
                name=name,
                type="option",
                confidence=confidence,
                because=because,
                others=others,
            )
            taken.add(name)
    return {s.value: out[s.value] for s in Status if s.value in out}


def _given_statuses(
    config: Mapping[str, Any], status_names: Mapping[str, str], pinned: Binding | None
) -> Iterator[tuple[str, Choice]]:
    by_id = {id_: name for name, id_ in option_ids(config).items()}
    for status in Status:
        pin = pinned.statuses.get(status) if pinned else None
        name, because = status_names.get(status.value, ""), "as the settings say"
        if pin is not None and pin in by_id:
            name, because = by_id[pin], "pinned by its id"
        if name in by_id.values():
            yield (
                status.value,
                Choice(key=status.value, name=name, type="option", confidence=1.0, because=because),
            )
