"""From ids in the settings to one data source. Every mix-up that the API answers with a plain 404 is told
apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.board import reading
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import ConfigError, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data source. ``id``: 32 hex digits; ``properties``: its schema as the API gives it."""

    id: str
    title: str
    url: str
    properties: dict[str, Any]


def resolve(
    transport: Transport, database_id: str, data_source_id: str, *, setting: str = "board."
) -> Source:
    """The data source that the settings mean. ``setting`` is what the key in
    the settings begins with, for messages: ``board.``, ``board.agents_``.

    Raises ConfigError for ids that are none, for several sources and none chosen, and for a page's id;
    NotFound when it does not exist or is not shared.
    """
    if data_source_id:
        wanted = _id(data_source_id, f"{setting}data_source_id")
        try:
            return read(transport, wanted)
        except NotFound as error:
            if _database(transport, wanted) is None:
                raise
            raise ConfigError(
                f"{setting}data_source_id is the id of a database, not of one of its data sources",
                hint=f"put it in {setting}database_id and leave data_source_id empty",
            ) from error
    if not database_id:
        raise ConfigError(
            f"{setting}database_id is empty", hint="set it to the id or the URL of the Agent-Tasks database"
        )
    wanted = _id(database_id, f"{setting}database_id")
    database = _database(transport, wanted)
    if database is None:
        return _not_a_database(transport, wanted, setting)
    sources = [s for s in database.get("data_sources") or [] if isinstance(s, dict) and "id" in s]
    if len(sources) != 1:
        named = tuple(f"{s.get('name') or '(untitled)'}: {ids.normalise(str(s['id']))}" for s in sources)
        raise ConfigError(
            f"the database “{reading.plain(database.get('title'))}” has {len(sources)} data sources",
            problems=named,
            hint=f"set {setting}data_source_id to one of them"
            if named
            else "open the database in Notion and share its source",
        )
    return read(transport, ids.normalise(str(sources[0]["id"])))


def read(transport: Transport, data_source: str) -> Source:
    """The data source with its schema, fresh. NotFound when it is gone, trashed or not shared."""
    answer = transport.call("open", "GET", f"data_sources/{ids.dashed(data_source)}")
    title = reading.plain(answer.get("title")) or "(untitled)"
    if answer.get("in_trash") or answer.get("archived"):
        raise NotFound(f"the database “{title}” is in the trash", hint="restore it in Notion")
    properties = answer.get("properties")
    return Source(
        id=data_source,
        title=title,
        url=str(answer.get("url") or ""),
        properties=properties if isinstance(properties, dict) else {},
    )


def _id(text: str, setting: str) -> str:
    try:
        return ids.normalise(text)
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}") from error


def _database(transport: Transport, wanted: str) -> dict[str, Any] | None:
    try:
        return transport.call("open", "GET", f"databases/{ids.dashed(wanted)}")
    except NotFound:
        return None


def _not_a_database(transport: Transport, wanted: str, setting: str) -> Source:
    """A data source's id is taken as well; a page's id gets a message of its own."""
    try:
        return read(transport, wanted)
    except NotFound as error:
        try:
            transport.call("open", "GET", f"pages/{ids.dashed(wanted)}")
        except NotFound:
            raise NotFound(
                f"{setting}database_id: there is no database {wanted} for this token", hint=error.hint
            ) from error
        raise ConfigError(
            f"{setting}database_id is the id of a page, not of a database",
            hint="open the database as a full page and copy its link",
        ) from error
