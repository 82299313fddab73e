"""``handoffd doctor --apply``: the additions of a proposal, made on the board. Nothing else ever changes a
schema that is there.

The API takes a list of options as *the* list: what is left out is deleted and rows lose it (pain 22). So the
options are read, joined and written with their ids, and read back. Between the read and the write there is
no lock: an option that a person adds in that moment is lost, and that is why this runs on request only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.board import connect
from daemon.board.answers import passes
from daemon.board.columns import GROUPS
from daemon.board.proposal import Addition
from daemon.board.schema import option_ids
from daemon.board.setup import properties as our_schema
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import PermanentError
from daemon.core.status import Status


def apply(transport: Transport, source: str, additions: Sequence[Addition]) -> tuple[Addition, ...]:
    """Make the ``additions`` on a data source (32 hex) that it does not have yet; returns those, in order.

    One PATCH after one fresh read; the schema is read again before anything is repeated.
    PermanentError when the board took the write and lacks something that was or should be there.
    """
    made: tuple[Addition, ...] = ()

    def once() -> tuple[Addition, ...]:
        nonlocal made
        before = connect.read(transport, source).properties
        todo = tuple(a for a in additions if not is_there(before, a))
        made = made or todo
        if todo:
            body = {"properties": request(before, todo, source)}
            transport.call("setup", "PATCH", f"data_sources/{ids.dashed(source)}", body=body, repeat=False)
            _compare(before, connect.read(transport, source).properties, todo)
        return made

    return transport.insist(once, passes, transport.patience())


def is_there(properties: Mapping[str, Any], addition: Addition) -> bool:
    """Does the schema have it already?"""
    config = properties.get(addition.name)
    if config is None or not addition.option:
        return config is not None
    return addition.option in option_ids(config)


def request(properties: Mapping[str, Any], additions: Sequence[Addition], source: str) -> dict[str, Any]:
    """The ``properties`` of the PATCH: existing properties by id, with all the options that they have."""
    ours = our_schema()
    out: dict[str, Any] = {}
    for addition in additions:
        if not addition.option:
            out[addition.name] = _new(addition, ours, source)
            continue
        config = properties.get(addition.name)
        if config is None:
            raise PermanentError(f"“{addition.name}” is gone since it was read", hint="run doctor again")
        kind = str(config["type"])
        kept = [{k: o[k] for k in ("id", "name", "color") if k in o} for o in config[kind]["options"]]
        entry = out.setdefault(str(config["id"]), {kind: {"options": kept}})
        group = {"group": GROUPS[Status(addition.option)]} if kind == "status" else {}
        entry[kind]["options"].append({"name": addition.option, **group})
    return out


def _new(addition: Addition, ours: Mapping[str, Any], source: str) -> dict[str, Any]:
    if addition.kind == "relation":
        relation = {"data_source_id": ids.dashed(source), "type": "single_property", "single_property": {}}
        return {"relation": relation}
    made: dict[str, Any] = ours[addition.name]
    return made


def _compare(before: Mapping[str, Any], after: Mapping[str, Any], made: Sequence[Addition]) -> None:
    by_id = {str(config["id"]): config for config in after.values()}
    lost = [
        f"“{name}” lost the option “{option}”"
        for name, config in before.items()
        for option, id_ in option_ids(config).items()
        if id_ not in option_ids(by_id.get(str(config["id"]), {})).values()
    ]
    lost += [f"“{name}” is gone" for name, config in before.items() if str(config["id"]) not in by_id]
    lost += [f"“{a.option or a.name}” was not added" for a in made if not is_there(after, a)]
    if lost:
        raise PermanentError(
            "the board's schema is not what was asked for",
            problems=tuple(lost),
            hint="somebody else may have changed it at the same time; look at it in Notion",
        )
