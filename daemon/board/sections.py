"""Our section of a page's body: callouts that carry a mark, so that nothing else on the page is ever touched.

Blocks, not the page's Markdown: a replacement in Markdown has to match the service's own rendering of the
page and sends people's text back through it; a callout with our mark is one block that can be added and
deleted whole, wherever a person has moved it.

Blocks that somebody else put into such a callout are theirs: it stays then, beside the new one.

Safe at every moment: the new section is added before the old one is deleted, its mark carries the run and a
digest of the text, and doing it again finds what is there. Late words of an earlier run never replace a
later one's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.board import markdown, query, reading
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import Fenced, NotFound

_MARK = re.compile(r"handoffd · run (\S+) · ([0-9a-f]{10}) · (\d+)/(\d+)")
_TITLE = "Report"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a section's first line says: whose it is, of which text, and which part of it."""

    run: str
    digest: str
    part: int
    parts: int

    def text(self) -> str:
        """As it stands on the page."""
        return f"handoffd · run {self.run} · {self.digest} · {self.part}/{self.parts}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: parts to add (by index), blocks to delete, and the block to add them behind."""

    add: tuple[int, ...]
    delete: tuple[str, ...]
    behind: str


def read_mark(block: dict[str, Any]) -> Mark | None:
    """The mark of one of our blocks; None for anybody else's."""
    if block.get("type") != "callout":
        return None
    lines = reading.plain((block.get("callout") or {}).get("rich_text")).strip().splitlines()
    match = _MARK.fullmatch(lines[-1].strip()) if lines else None
    return Mark(match[1], match[2], int(match[3]), int(match[4])) if match else None


def plan(children: Sequence[dict[str, Any]], wanted: Sequence[Mark]) -> Plan:
    """Compare what stands on the page with what should. Raises Fenced when a later run's section is there."""
    ours = [(str(block["id"]), mark) for block in children if (mark := read_mark(block))]
    for _, mark in ours:
        if wanted and _generation(mark.run) > _generation(wanted[0].run):
            raise Fenced(f"the page has the section of a later run, {mark.run}")
    keep: dict[Mark, str] = {}
    for block_id, mark in ours:
        if mark in wanted:
            keep.setdefault(mark, block_id)
    return Plan(
        add=tuple(i for i, mark in enumerate(wanted) if mark not in keep),
        delete=tuple(block_id for block_id, _ in ours if block_id not in keep.values()),
        behind=ours[-1][0] if ours else "",
    )


def put(transport: Transport, task_id: str, run_id: str, text: str, *, bare: bool = False) -> None:
    """Make the page show ``text`` as the section of ``run_id``. Raises Ambiguous: do it again.

    ``bare``: it is known that no section of ours is on the page, so nobody looks for one: one call less.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    made = markdown.parts(markdown.blocks(text)) or [[]]
    wanted = [Mark(run_id, digest, n, len(made)) for n in range(1, len(made) + 1)]
    children = [] if bare else _children(transport, task_id)
    todo = plan(children, wanted)
    behind = todo.behind
    for index in todo.add:
        behind = _append(transport, task_id, _callout(wanted[index], made[index]), behind)
    for block in children:
        if block["id"] in todo.delete and not _has_others_words(transport, block):
            _delete(transport, str(block["id"]))


def _has_others_words(transport: Transport, callout: dict[str, Any]) -> bool:
    """Somebody wrote blocks of their own into our callout: then it stays, since they would go with it."""
    if not callout.get("has_children"):
        return False
    us = _author(callout)
    return any(
        _author(child) != us or (child.get("has_children") and child.get("type") != "table")
        for child in _children(transport, str(callout["id"]).replace("-", ""))
    )


def _author(block: dict[str, Any]) -> str:
    return str((block.get("created_by") or {}).get("id", ""))


def _delete(transport: Transport, block_id: str) -> None:
    try:
        transport.call("section", "DELETE", f"blocks/{block_id}")
    except NotFound:
        return  # somebody was quicker: it is gone, which is what we want


def _generation(run: str) -> tuple[str, int]:
    try:
        return ids.split_run_id(run)
    except ValueError:
        return ("", 0)


def _callout(mark: Mark, children: list[markdown.Block]) -> markdown.Block:
    title = _TITLE if mark.parts == 1 else f"{_TITLE}, part {mark.part} of {mark.parts}"
    line = {"type": "text", "text": {"content": mark.text()}, "annotations": {"color": "gray"}}
    head = {"type": "text", "text": {"content": f"{title}\n"}, "annotations": {"bold": True}}
    callout: markdown.Block = {"rich_text": [head, line], "icon": {"type": "emoji", "emoji": "📋"}}
    if children:
        callout["children"] = children
    return {"type": "callout", "callout": callout}


def _append(transport: Transport, task_id: str, block: markdown.Block, behind: str) -> str:
    body: dict[str, Any] = {"children": [block]}
    if behind and transport.version == "2025-09-03":
        body["after"] = behind
    elif behind:
        body["position"] = {"type": "after_block", "after_block": {"id": behind}}
    answer = transport.call("section", "PATCH", f"blocks/{ids.dashed(task_id)}/children", body=body)
    results = answer.get("results") or []
    return str(results[0]["id"]) if results else ""


def _children(transport: Transport, parent: str) -> list[dict[str, Any]]:
    found = query.items(transport, "section", f"blocks/{ids.dashed(parent)}/children")
    return [block for block in found if "id" in block]
