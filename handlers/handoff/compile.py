"""A task → a packet. Pure: time, ids and the nonce come in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daemon.core.text import one_line, slug, visible
from daemon.sdk import RunInfo, RunRecord, Task
from handlers.handoff import fence
from handlers.handoff.agents import AgentSettings
from handlers.handoff.criteria import Binding
from handlers.handoff.disk import canonical, sha256
from handlers.handoff.model import Lineage, Packet, PriorAttempt, Workspace
from handlers.handoff.params import Params

GENERATOR = "handoffd handoff/1"
RESULT_UNITS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What must be random or timed: drawn once, in a durable step."""

    handoff_id: str
    claim_token: str
    nonce: str
    now: float


def iso(at: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(text: str) -> float:
    """The reverse of ``iso``. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def untrusted(task: Task, binding: Binding, params: Params) -> str:
    """All page text that goes into the packet, for the linter and for drawing the nonce."""
    parts = [task.title, task.next_step, task.description, task.url, params.next_command, *params.non_goals]
    return "\n".join([*parts, *(c.text for c in binding.criteria), *(c.question for c in binding.criteria)])


def packet(
    task: Task,
    run: RunInfo,
    params: Params,
    agent: tuple[str, AgentSettings],
    binding: Binding,
    workspace: Workspace,
    history: Sequence[RunRecord],
    drawn: Drawn,
    because: str,
) -> Packet:
    """The document, complete but for the list of context files, the lint score and its own hash."""
    slug, settings = agent
    body, was_cut = fence.cut(task.description)
    raw = untrusted(task, binding, params)
    ack_by = drawn.now + settings.ack_within
    return Packet(
        handoff_id=drawn.handoff_id,
        task_id=task.id,
        run=run.id,
        task_url=task.page_url,
        attempt=run.attempt,
        claim_generation=run.generation,
        claim_token=drawn.claim_token,
        idempotency_key=run.id,
        lineage=Lineage(root=params.root or task.id, parent=params.parent, depth=params.depth),
        agent=slug,
        rendering=settings.rendering,
        routed_because=because,
        priority=int(task.priority),
        due=iso(task.due.timestamp()) if task.due else "",
        created_at=iso(drawn.now),
        ack_by=iso(ack_by),
        return_by=iso(ack_by + settings.time_limit),
        escalation=settings.escalation,
        title=one_line(task.title, 300),
        next_step=visible(task.next_step),
        description=visible(body),
        description_cut=was_cut,
        next_command=one_line(params.next_command, 500),
        non_goals=tuple(one_line(n, 300) for n in params.non_goals),
        acceptance=binding.criteria,
        workspace=workspace,
        prior_attempts=prior_attempts(task.id, run.id, history),
        time_limit=settings.time_limit,
        silence_limit=settings.silence_limit,
        fix_window=settings.fix_window,
        min_evidence_bytes=settings.min_evidence_bytes,
        follow_ups_allowed=settings.follow_ups,
        nonce=drawn.nonce,
        last_editor=" ".join(re.sub(r"[^\w@-]", " ", task.edited_by).split())[:60],
        hidden_characters=fence.hidden_characters(raw),
        flags=tuple(fence.flags(raw)),
        generator=GENERATOR,
    )


def prior_attempts(task_id: str, run_id: str, history: Sequence[RunRecord]) -> tuple[PriorAttempt, ...]:
    """The last five earlier attempts at this task, oldest first."""
    earlier = [r for r in history if r.task == task_id and r.run != run_id and r.ended is not None]
    return tuple(
        PriorAttempt(
            run=r.run,
            state=r.state,
            result=one_line(r.result, RESULT_UNITS),
            failed_gates=tuple(g.name for g in r.gates if g.required and g.result.value == "failed"),
        )
        for r in earlier[-5:]
    )


def content_hash(doc: Packet) -> str:
    """SHA-256 of the canonical form with ``content_sha256`` empty."""
    return sha256(canonical(msgspec.structs.replace(doc, content_sha256="")))


def folder_name(doc: Packet) -> str:
    """Name of the packet's folder: sortable time, priority, ASCII slug, full task id, generation.

    Page text reaches it only through the slug; whole name ≤ 120 ASCII bytes on any file system.
    """
    stamp = doc.created_at.replace("-", "").replace(":", "")
    return f"{stamp}--p{doc.priority}--{slug(doc.title)}--{doc.task_id}--g{doc.claim_generation}"


def own_workspace(root: Path, task_id: str) -> Path:
    """The folder that a task gets when its agent has no workspace: below the agent's folder, by id."""
    return root / "work" / task_id
