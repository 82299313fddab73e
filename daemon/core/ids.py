"""Ids: normalised to 32 hex digits at the boundary and compared whole.

The predecessor compared 8-digit prefixes and mixed two spellings (incidents AT-19, HF-2).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HEX32 = re.compile(r"[0-9a-f]{32}")
_DASHED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BARE_URL = re.compile(r"(?:[\w-]+\.)*notion\.(?:so|site|com)/")
_RUN = re.compile(r"([0-9a-f]{32})\.g([1-9][0-9]*)")


def normalise(text: str) -> str:
    """The 32 lower-case hex digits of an id in any form that Notion has used.

    Takes a dashed or dashless id, or a URL: ``notion.so/Title-<id>``, ``acme.notion.site/Title-<id>``,
    ``app.notion.com/p/<id>``, ``?p=<id>`` for a peeked page, the app's own ``notion://``, with or without
    ``https://``, and ``collection://<id>`` for a data source. Raises ValueError when no whole id is in it.
    """
    raw = text.strip()
    plain = raw.lower()
    if _HEX32.fullmatch(plain):
        return plain
    if _DASHED.fullmatch(plain):
        return plain.replace("-", "")
    parts = urlsplit(f"https://{raw}" if _BARE_URL.match(plain) else raw)
    if parts.scheme == "collection":
        return normalise(parts.netloc or parts.path)
    if parts.scheme in ("http", "https", "notion"):
        peek = re.search(r"(?:^|&)p=([0-9a-fA-F-]{32,36})(?:&|$)", parts.query)
        if peek:
            return normalise(peek.group(1))
        last = parts.path.rstrip("/").rsplit("/", 1)[-1].lower()
        if _DASHED.fullmatch(last[-36:]):
            return last[-36:].replace("-", "")
        # In "<Slug>-<32 hex>" the id is what follows the last dash: a slug may itself end in hex digits.
        tail = last.rsplit("-", 1)[-1]
        if _HEX32.fullmatch(tail):
            return tail
    raise ValueError(f"no page id in {text!r}: expected 32 hex digits, a dashed id or a page URL")


def dashed(task_id: str) -> str:
    """The 8-4-4-4-12 form of a normalised id, as Notion prints it."""
    return f"{task_id[:8]}-{task_id[8:12]}-{task_id[12:16]}-{task_id[16:20]}-{task_id[20:]}"


def run_id(task_id: str, generation: int) -> str:
    """``<task id, 32 hex>.g<generation>``: one attempt of one task (contract.md §4)."""
    if not _HEX32.fullmatch(task_id) or generation < 1:
        raise ValueError(f"not a task id and generation: {task_id!r}, {generation!r}")
    return f"{task_id}.g{generation}"


def split_run_id(text: str) -> tuple[str, int]:
    """Task id and generation of a run id. Raises ValueError on anything else."""
    match = _RUN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"not a run id: {text!r} (expected <32 hex>.g<number>)")
    return match.group(1), int(match.group(2))


CANCEL = "cancel"
"""The arrival that means: the task was cancelled while it waited."""

PARKED = "parked"
"""The arrival that means: the daemon died over the run too often."""

REASSIGN = "reassign"
"""The same for: another agent or handler has the task now."""


CHANGED = "changed"
"""The arrival that means: the handler's steps are others than an earlier life of the run recorded."""


def arrival_workflow(run: str, digest: str) -> str:
    """Id of the workflow that carries on ``run`` for an arrival; ``digest``: hex of what arrived."""
    return f"{run}.a{digest}"


def cancel_workflow(run: str) -> str:
    """Id of the workflow that ends a waiting ``run`` whose task was cancelled."""
    return f"{run}.{CANCEL}"


def parked_workflow(run: str) -> str:
    """Id of the workflow that ends a ``run`` over which the daemon died too often."""
    return f"{run}.{PARKED}"


def reassign_workflow(run: str) -> str:
    """Id of the workflow that ends a waiting ``run`` whose task was given to another agent."""
    return f"{run}.{REASSIGN}"


def changed_workflow(run: str) -> str:
    """Id of the workflow that ends a ``run`` whose steps an upgrade changed."""
    return f"{run}.{CHANGED}"


def arrival_of(workflow: str, run: str) -> str:
    """What a workflow is there for, read from its id: "" = the run's first stretch.

    The id stands in the store before the engine knows the workflow, and whoever finds it there without one
    (another thread, the next start) has to submit the very same work.
    """
    rest = workflow.removeprefix(run).removeprefix(".")
    return f"arrival:{rest[1:]}" if rest.startswith("a") else rest
