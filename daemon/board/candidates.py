"""Which of the databases that the token can see could be the tasks database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.board import reading
from daemon.board.columns import SPECS, WRITTEN
from daemon.board.doctor import propose
from daemon.board.proposal import Proposal
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import TransientError

LEAST = 0.35
"""From this score on a database is shown. Any list with a title and a status reaches 0.29; with one more
matching property or three of our status options it is worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """``database``, ``source``: 32 hex. ``score`` 0…1: how much of what handoffd uses is there, weighed by
    how sure each match is."""

    title: str
    url: str
    database: str
    source: str
    score: float
    proposal: Proposal


def find(transport: Transport) -> list[Candidate]:
    """All data sources shared with the integration that have a title and a status, best first.

    The service's search index lags by minutes: a database that was shared just now may be missing.
    """
    found: list[Candidate] = []
    cursor = ""
    while True:
        body: dict[str, Any] = {"filter": {"property": "object", "value": "data_source"}, "page_size": 100}
        if cursor:
            body["start_cursor"] = cursor
        answer = transport.call("setup", "POST", "search", body=body, write=False)
        for source in answer.get("results") or []:
            candidate = _candidate(source)
            if candidate is not None:
                found.append(candidate)
        if not answer.get("has_more"):
            return sorted(found, key=lambda c: (-c.score, c.title, c.source))
        following = str(answer.get("next_cursor") or "")
        if not following or following == cursor:
            raise TransientError("the board's answer says there is more, and gives no way on")
        cursor = following


def score(proposal: Proposal) -> float:
    """0…1: 1 when every key and every status that is written matches by its own name."""
    properties = sum(choice.confidence for choice in proposal.properties.values())
    statuses = sum(proposal.statuses[s.value].confidence for s in WRITTEN if s.value in proposal.statuses)
    weight = len(SPECS) + len(WRITTEN)
    # Required ones count for what they are: without them nothing works.
    required = sum(spec.required for spec in SPECS.values())
    bonus = sum(2 for key in proposal.properties if SPECS[key].required)
    return round((properties + statuses + bonus * 2) / (weight + required * 4), 2)


def _candidate(source: Any) -> Candidate | None:
    if not isinstance(source, dict) or source.get("object") != "data_source" or source.get("in_trash"):
        return None
    properties = source.get("properties")
    parent = source.get("parent") or {}
    if not isinstance(properties, dict) or "database_id" not in parent:
        return None
    proposal = propose(properties)
    if "status" not in proposal.properties or score(proposal) < LEAST:
        return None
    return Candidate(
        title=reading.plain(source.get("title")) or "(untitled)",
        url=str(source.get("url") or ""),
        database=ids.normalise(str(parent["database_id"])),
        source=ids.normalise(str(source["id"])),
        score=score(proposal),
        proposal=proposal,
    )
