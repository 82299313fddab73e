"""One delivery as the durable steps see it: its record, its folder, what is waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from daemon.core.text import one_line
from daemon.sdk import (
    CancelledRun,
    Context,
    Delivered,
    HandoffdError,
    Outcome,
    PermanentError,
    StepRetry,
    Task,
)
from handlers.handoff import arrivals, ladder, packets
from handlers.handoff.agents import AgentSettings
from handlers.handoff.compile import iso
from handlers.handoff.packets import Ledger
from handlers.handoff.params import Params

LOOK_S = 2.0
"""Seconds between two looks at a packet's folder: one directory listing."""
STATUS_WORDS = {"Done": "Completed", "NeedsReview": "Review", "Failed": "Failed", "Blocked": "Blocked"}
"""Outcome → the status that a reader of the receipt knows from the page."""
DISK = StepRetry(attempts=3, first=0.2, ceiling=2.0)


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What is being waited for, in words for the page, and what the report shows meanwhile."""

    wait_for: str
    data: dict[str, Any]


class Delivery:
    """What every stretch of work on a handoff needs."""

    def __init__(self, task: Task, params: Params, ctx: Context, now: Callable[[], float]) -> None:
        self.task = task
        self.params = params
        self.ctx = ctx
        self.now = now
        self.known: Mapping[str, AgentSettings] = ctx.settings

    def ledger(self) -> Ledger | None:
        """The daemon's record of this delivery."""
        return packets.load_ledger(self.ctx.home, self.task.id, self.ctx.run.generation)

    def need(self) -> tuple[Ledger, Path]:
        """Record and folder of the delivery. Raises PermanentError when either is gone."""
        ledger = self.ledger()
        folder = self.folder(ledger) if ledger else None
        if ledger is None or folder is None:
            raise PermanentError("the packet is gone", hint="set the task Ready to deliver it again")
        return ledger, folder

    def folder(self, ledger: Ledger) -> Path | None:
        """The packet, wherever it stands."""
        return packets.locate(Path(ledger.root), ledger.packet.task_id, ledger.packet.claim_generation)

    def agent(self, ledger: Ledger) -> AgentSettings:
        """The agent's settings now; the defaults when it was taken out of them meanwhile."""
        return self.known.get(ledger.packet.agent, AgentSettings())

    def wait(self) -> Outcome:
        """Delivered, with what is waited for now."""
        waiting = self.ctx.step("waiting", self._waiting)
        summary = f"Handed to {waiting.data['agent']}."
        return Delivered(wait_for=waiting.wait_for, summary=summary, data=waiting.data, look_again=LOOK_S)

    def _waiting(self) -> Waiting:
        ledger, folder = self.need()
        doc = ledger.packet
        phase, at = ladder.next_deadline(
            arrivals.watch(folder, ledger), arrivals.limits(ledger, self.agent(ledger))
        )
        if phase is ladder.Phase.ANSWER:
            asked = arrivals.open_questions(folder)[0]
            text = f"a person's answer to {doc.agent}: {one_line(str(asked.get('need', '')), 200)}"
        elif phase is ladder.Phase.SIGN:
            text = f"{doc.agent}'s return (next sign of life by {iso(at)})"
        else:
            text = f"{doc.agent}'s {phase.value} (by {iso(at)})"
        return Waiting(wait_for=text, data=self.data(ledger, folder))

    def data(self, ledger: Ledger, folder: Path) -> dict[str, Any]:
        """What the report shows of a handoff; the keys are stable (docs/handoffs.md)."""
        doc = ledger.packet
        return {
            "agent": doc.agent,
            "rendering": doc.rendering,
            "handoff_id": doc.handoff_id,
            "packet": folder.name,
            "place": str(folder.relative_to(ledger.root)),
            "delivery": ledger.delivery,
            "delivered_at": doc.created_at,
            "ack_by": doc.ack_by,
            "return_by": doc.return_by,
            "lint": {"score": doc.lint_score, "notes": list(doc.lint_notes)},
            "understood": str(packets.marker(folder, "ACK.accepted.json").get("understood", "")),
            "acknowledged_at": str(packets.marker(folder, "ACK.accepted.json").get("at", "")),
            "rejections": [
                {
                    k: packets.marker(folder, p.name).get(k)
                    for k in ("code", "name", "field", "expected", "got")
                }
                for p in packets.numbered(folder, "RETURN.rejected-")
            ],
            "workspace": doc.workspace.path,
            "criteria": [
                {"id": c.id, "text": c.text, "kind": c.kind, "required": c.required} for c in doc.acceptance
            ],
        }

    def tell(self, key: str, text: str) -> None:
        """A comment on the page. The page being away for long must not undo what was dealt with."""
        try:
            self.ctx.comment(key, text)
        except CancelledRun:
            raise
        except HandoffdError as err:
            self.ctx.log.warning("handoff.comment_failed", key=key, error=err.one_line())
