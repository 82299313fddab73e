"""The stretches of a handoff as durable steps. Between the steps only their results decide."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from daemon.core.text import one_line
from daemon.sdk import Blocked, Outcome, Retry, StepRetry
from handlers.handoff import agents, arrivals, deliver, packets, replies, returns
from handlers.handoff.arrivals import Arrival
from handlers.handoff.deliver import Compiled, Launched, Published
from handlers.handoff.delivery import DISK, Delivery
from handlers.handoff.disk import plain
from handlers.handoff.judging import Judging
from handlers.handoff.model import Packet
from handlers.handoff.packets import Ledger
from handlers.handoff.replies import Dealt


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """The arrival that this stretch deals with; None = it was dealt with already."""

    arrival: Arrival | None = None


class Flow(Delivery):
    """One stretch of work on one task."""

    # ── delivery ──────────────────────────────────────────────────────────────────────────────────

    def deliver(self) -> Outcome:
        """Compile → lint → publish → launch → Delivered; Blocked with all that is missing."""
        compiled = self.ctx.step("compile", self._compile, retry=StepRetry())
        lint = plain(compiled.lint) if compiled.lint else {}
        if compiled.packet is None:
            return Blocked(reason=compiled.reason, unblock=compiled.unblock, data={"lint": lint})
        published = self.ctx.step("publish", self._publish, compiled, retry=DISK)
        self.ctx.evidence(
            "packet.published",
            "file",
            published.place,
            published.whole,
            {
                "agent": compiled.packet.agent,
                "place": published.path,
                "sha256": published.handoff_sha256,
                "bytes": published.bytes,
                "files": published.files,
            },
        )
        if self.known[compiled.packet.agent].launch:
            launched = self.ctx.step("launch", self._launch, compiled.packet, published)
            if not launched.answered:
                how = launched.ended if launched.ended != "exit" else f"exit code {launched.returncode}"
                reason = f"{compiled.packet.agent} ended ({how}) without a return. {launched.tail}".strip()
                return Retry(reason=reason, data={"launch": plain(launched)})
        return self.wait()

    def _compile(self) -> Compiled:
        text = "\n\n".join(t for t in (self.task.description, self.ctx.body()) if t)
        return deliver.compile_packet(replace(self.task, description=text), self.params, self.ctx, self.now())

    def _publish(self, compiled: Compiled) -> Published:
        return deliver.publish(compiled, self.ctx, self.now())

    def _launch(self, doc: Packet, published: Published) -> Launched:
        return deliver.launch(
            doc, published, self.ctx, lambda line: self.ctx.progress(0, 1, one_line(line, 200))
        )

    # ── waiting ───────────────────────────────────────────────────────────────────────────────────

    def look(self) -> str | None:
        """See ``Handoff.arrived``."""
        ledger = self.ledger()
        found = self._arrival(ledger) if ledger else None
        return found.token if found else None

    def _arrival(self, ledger: Ledger) -> Arrival | None:
        return arrivals.look(self.folder(ledger), ledger, self.agent(ledger), self.task.next_step, self.now())

    # ── arrivals ──────────────────────────────────────────────────────────────────────────────────

    def resume(self) -> Outcome:
        """Deal with the one thing that arrived."""
        arrival = self.ctx.step("look", self._looked).arrival
        if arrival is None:
            return self.wait()
        if arrival.kind == "lost":
            return Blocked(
                reason=f"the packet {arrival.name} is no longer in its inbox",
                unblock="put it back, or deliver it again",
            )
        if arrival.kind == "return":
            return Judging(self.task, self.params, self.ctx, self.now).judge()
        dealt = self.ctx.step(f"{arrival.kind} {arrival.name}", self._deal, arrival, retry=DISK)
        self.tell(f"{arrival.kind}-{arrival.name}-{arrival.mark[:12]}", dealt.text)
        return self._after(arrival, dealt)

    def _looked(self) -> Looked:
        ledger = self.ledger()
        return Looked(arrival=self._arrival(ledger) if ledger else None)

    def _deal(self, arrival: Arrival) -> Dealt:
        ledger, folder = self.need()
        now = self.now()
        if arrival.kind == "ack":
            return replies.acknowledge(folder, ledger, now)
        if arrival.kind == "question":
            return replies.question(folder, ledger, arrival.name, self.task.next_step, now)
        if arrival.kind == "answer":
            return replies.answer(folder, arrival, self.task, now)
        if arrival.kind == "refuse":
            return replies.refuse(folder, ledger, now)
        return replies.rung(folder, ledger, arrival, self.ctx, now)

    def _after(self, arrival: Arrival, dealt: Dealt) -> Outcome:
        if arrival.kind == "ack" and dealt.accepted:
            self.ctx.evidence("ack.valid", "file", dealt.mark, True, {"sha256": dealt.sha256, **dealt.detail})
        if arrival.kind == "refuse" and dealt.accepted:
            refused = {"sha256": dealt.sha256, "refused": dealt.code}
            self.ctx.evidence("ack.valid", "file", dealt.mark, None, refused)
            self.ctx.step("move to failed", self._move_failed, retry=DISK)
            return Blocked(reason=dealt.text, unblock=returns.REFUSED_UNBLOCK)
        if arrival.kind == "deadline" and arrival.mark in ("redeliver", "reassign"):
            return Retry(reason=dealt.text, after=1.0, data={"rung": arrival.mark, "to": arrival.to})
        if arrival.kind == "deadline" and arrival.mark == "person":
            return Blocked(reason=dealt.text, unblock="look at the agent, or assign another")
        return self.wait()

    def _move_failed(self) -> str:
        _, folder = self.need()
        return str(packets.move(folder, packets.FAILED))

    # ── cancel ────────────────────────────────────────────────────────────────────────────────────

    def cancel(self) -> None:
        """See ``Handoff.cancel``."""
        self.ctx.step("put CANCEL", self._cancel, retry=DISK)

    def _cancel(self) -> bool:
        done = False
        for root in agents.roots(self.known, self.ctx.home).values():
            folder = packets.locate(root, self.task.id, self.ctx.run.generation)
            if folder is not None:
                packets.put_cancel(folder, "the task was cancelled on the board", self.now())
                done = True
        return done
