"""Creating a task: with a source key there is one page for it, ever, as far as the board lets us see."""

from __future__ import annotations

import json
from typing import Any

from daemon.board import markdown, writing
from daemon.board.answers import passes
from daemon.board.schema import Binding
from daemon.board.session import Session
from daemon.core import ids
from daemon.core.errors import Ambiguous, ConfigError, TransientError
from daemon.core.task import Draft, Task

LOOKS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each look for a page whose creation was not answered: queries lag behind writes
(research/reliability.md §0.4). Only when all of them find nothing it is made again."""


def create(session: Session, draft: Draft) -> Task:
    """Find the draft's page by its key, else make it. One thread at a time."""
    patience = session.transport.patience()

    def once() -> Task:
        return session.adapt(lambda binding: _find_or_make(session, binding, draft))

    def again(error: BaseException) -> bool:
        return passes(error) and (bool(draft.source_key) or not isinstance(error, Ambiguous))

    return session.transport.insist(once, again, patience)


def _find_or_make(session: Session, binding: Binding, draft: Draft) -> Task:
    if draft.source_key:
        found = _find(session, binding, draft.source_key)
        if found is not None:
            return found
    body = _body(session, binding, draft)
    try:
        page = session.transport.call("create", "POST", "pages", body=body, repeat=False)
    except Ambiguous:
        if draft.source_key and (landed := _find_later(session, binding, draft.source_key)):
            return landed
        raise
    if "properties" not in page:
        return session.fetch(ids.normalise(str(page["id"])), binding, "readback").task
    made = session.task(page, binding)
    session.seen.put(made, session.clock(), direct=True)
    return made


def _find(session: Session, binding: Binding, key: str) -> Task | None:
    column = binding.columns.get("source_key")
    if column is None:
        raise ConfigError(
            "the board has no property for source_key, so a task with a key can't be made only once",
            hint="add a text property “Source Key”, or name one in board.properties.source_key",
        )
    where = {"property": column.id, "rich_text": {"equals": key}}
    # Whether "equals" folds case is not documented: compared again here.
    found = [t for t in session.tasks_by(lambda _: where, "create") if t.source_key == key]
    if len(found) > 1:
        session.log.warning("board.duplicate_key", key=key, pages=[t.id for t in found])
    return found[0] if found else None


def _find_later(session: Session, binding: Binding, key: str) -> Task | None:
    for wait in LOOKS:
        try:
            session.transport.pause(wait)
            found = _find(session, binding, key)
        except TransientError as error:
            raise Ambiguous(f"the board lost the answer to a creation: {error.one_line()}") from error
        if found is not None:
            return found
    return None


def _body(session: Session, binding: Binding, draft: Draft) -> dict[str, Any]:
    source, _ = session.opened
    agent = _agent(session, binding, draft.agent) if draft.agent else None
    body: dict[str, Any] = {
        "parent": {"type": "data_source_id", "data_source_id": ids.dashed(source.id)},
        "properties": writing.draft(binding, draft, agent),
    }
    if draft.body:
        taken = len(json.dumps(body, ensure_ascii=False).encode())
        room = max(0, markdown.MAX_BYTES - taken)
        body["children"] = markdown.bounded(markdown.blocks(draft.body), room)
    return body


def _agent(session: Session, binding: Binding, name: str) -> dict[str, Any]:
    column = binding.columns.get("agent")
    if column is None:
        raise ConfigError(
            f"the board has no property for agent, which this task sets to “{name}”",
            hint="add one, or name it in board.properties.agent",
        )
    related = session.titles.pages_called(name) if column.type == "relation" else []
    if column.type == "relation" and len(related) != 1:
        raise ConfigError(
            f"“{column.name}” is a relation, and {len(related)} agent pages are called “{name}”",
            hint="name the agent as its page is called, and set board.agents_database_id",
        )
    made = writing.selected(column, name, related)
    if made is None:
        raise ConfigError(f"agent can't be set to “{name}”: “{column.name}” has type {column.type}")
    return made
