"""A return that arrived: its steps in order, the evidence for the gates, the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.core.text import one_line
from daemon.sdk import CancelledRun, HandoffdError, Outcome, PermanentError
from handlers.handoff import checks, followups, packets, returns, verify
from handlers.handoff.delivery import DISK, STATUS_WORDS, Delivery
from handlers.handoff.disk import plain
from handlers.handoff.model import CriterionResult, Finding, FollowUpResult, Packet
from handlers.handoff.packets import Ledger
from handlers.handoff.replies import Dealt
from handlers.handoff.returns import Closed, Fresh, Intake


class Judging(Delivery):
    """See ``judge``."""

    def judge(self) -> Outcome:
        """R00 to R90, then a refusal with directions or a receipt and the outcome."""
        taken = self.ctx.step("read the return", self._intake, retry=DISK)
        if not taken.sha256:
            return self.wait()
        if taken.ret is None or taken.findings:
            return self._refuse(taken, [])
        ledger = self.ledger()
        ids = returns.to_check(taken.ret, ledger) if ledger else []
        runs = [self.ctx.step(f"check {cid}", self._check, cid) for cid in ids]
        fresh = self.ctx.step("freshness", self._fresh, taken)
        if fresh.rewritten:
            return self.wait()
        if ledger is None:
            raise PermanentError("the record of the delivery is gone")
        found = [*returns.check_findings(runs, ledger), *fresh.findings]
        if found:
            return self._refuse(taken, found)
        return self._accept(taken, runs, ledger)

    def _intake(self) -> Intake:
        ledger, folder = self.need()
        return returns.intake(folder, ledger, packets.load_manifest(self.ctx.home, ledger.packet))

    def _check(self, cid: str) -> checks.CheckRun:
        ledger, folder = self.need()
        criterion = next(c for c in ledger.packet.acceptance if c.id == cid)
        before = packets.load_manifest(self.ctx.home, ledger.packet)
        return checks.run_check(criterion, ledger.packet, str(folder), before, self.ctx)

    def _fresh(self, taken: Intake) -> Fresh:
        ledger, folder = self.need()
        return returns.freshness(folder, ledger, taken)

    def _refuse(self, taken: Intake, found: Sequence[Finding]) -> Outcome:
        findings = [*taken.findings, *found]
        dealt = self.ctx.step("refuse the return", self._put_refusal, taken.sha256, findings, retry=DISK)
        data = {"sha256": taken.sha256, **dealt.detail}
        self.ctx.evidence("return.first_time", "file", dealt.mark, False, data)
        self.tell(f"refused-{taken.sha256[:12]}", dealt.text)
        return self.wait()

    def _put_refusal(self, sha: str, found: list[Finding]) -> Dealt:
        ledger, folder = self.need()
        return returns.refuse(folder, sha, found, self.agent(ledger).fix_window, self.now())

    def _accept(self, taken: Intake, runs: Sequence[checks.CheckRun], ledger: Ledger) -> Outcome:
        ret = taken.ret
        assert ret is not None  # noqa: S101 - the caller has looked; narrows the type
        results = returns.judge_criteria(ret, runs, ledger)
        made = self._follow_ups(taken)
        told = returns.outcome_of(ret, results, ledger.packet.agent, {})
        word = STATUS_WORDS[type(told).__name__]
        closed = self.ctx.step("receipt", self._close, taken, results, made, word, retry=DISK)
        self._prove(taken, runs, results, closed, ledger)
        data = {
            **self.ctx.step("sum up", self._final_data),
            "criteria": [{**plain(r), "result": _words(r)} for r in results],
            "tier": closed.receipt.tier,
            "status": ret.status,
            "delta": plain(taken.delta),
            "follow_ups": [plain(f) for f in made if f.task],
            "held": [plain(f) for f in made if not f.task],
            "residual_risk": [one_line(r, 300) for r in ret.residual_risk[:10]],
            "not_done": [one_line(n, 300) for n in ret.not_done[:10]],
            "receipt": closed.path,
            "receipt_sha256": closed.receipt.receipt_sha256,
        }
        return returns.outcome_of(ret, results, ledger.packet.agent, data)

    def _final_data(self) -> dict[str, Any]:
        ledger, folder = self.need()
        return self.data(ledger, folder)

    def _follow_ups(self, taken: Intake) -> list[FollowUpResult]:
        ret = taken.ret
        if ret is None or not ret.follow_ups:
            return []
        planned = self.ctx.step("plan follow-ups", self._plan, taken)
        out = []
        for item in planned:
            task, why = "", item.why
            if not why:
                draft = followups.draft(item, self._packet())
                try:
                    task = self.ctx.follow_up(item.key, draft)
                except CancelledRun:
                    raise
                except HandoffdError as err:
                    why = f"it could not be created: {err.one_line()}"
                else:
                    self.ctx.step(f"count {item.proposal.intent_key}", self._count, item, task)
            title = one_line(item.proposal.title, 200)
            out.append(FollowUpResult(intent_key=item.proposal.intent_key, title=title, task=task, why=why))
        return out

    def _packet(self) -> Packet:
        ledger = self.ledger()
        if ledger is None:
            raise PermanentError("the record of the delivery is gone")
        return ledger.packet

    def _plan(self, taken: Intake) -> list[followups.Planned]:
        if taken.ret is None:
            return []
        made = followups.today(self.ctx.home, self.now())
        return followups.plan(taken.ret, self._packet(), self.known, made)

    def _count(self, item: followups.Planned, task: str) -> None:
        followups.note(self.ctx.home, item, task, self.now())

    def _close(
        self, taken: Intake, results: list[CriterionResult], made: list[FollowUpResult], outcome: str
    ) -> Closed:
        ledger, folder = self.need()
        return returns.close(folder, ledger, taken, results, made, outcome, self.now())

    def _prove(
        self,
        taken: Intake,
        runs: Sequence[checks.CheckRun],
        results: Sequence[CriterionResult],
        closed: Closed,
        ledger: Ledger,
    ) -> None:
        """Evidence for the gates, of the accepted return only."""
        ret, ctx = taken.ret, self.ctx
        if ret is None:
            return
        sha = {"sha256": taken.sha256}
        ctx.evidence("return.identity", "file", "RETURN.json", True, {**sha, "handoff_id": ret.handoff_id})
        ctx.evidence(
            "return.coverage",
            "check",
            "RETURN.json",
            True,
            {"criteria": len(ret.criteria), "status": ret.status},
        )
        if not closed.receipt.rejections:
            ctx.evidence("return.first_time", "file", "RETURN.json", True, sha)
        if ret.status in verify.WORKING:
            ctx.evidence("return.substance", "check", "named files", True, {"files": taken.proof})
            self._prove_delta(taken, ledger)
            ctx.evidence("proof.fresh", "check", "named files", True, {"files": len(taken.proof)})
        by_id = {r.id: r for r in runs}
        for result in results:
            run = by_id.get(result.id)
            kind = "check" if run is None else ("file" if run.use.startswith("file:") else "command")
            ok = result.tier in ("verified", "observed") if result.required else None
            detail = _worth_telling(run) if run else {"claim": result.claim}
            ctx.evidence("criteria.verified", kind, result.id, ok, {"tier": result.tier, **detail})
        receipt = closed.receipt
        ctx.evidence(
            "receipt.written",
            "file",
            closed.place,
            closed.holds,
            {
                "path": closed.path,
                "sha256": closed.sha256,
                "bytes": closed.bytes,
                "receipt_sha256": receipt.receipt_sha256,
                "sequence": receipt.sequence,
            },
        )

    def _prove_delta(self, taken: Intake, ledger: Ledger) -> None:
        delta = taken.delta
        if taken.ret is not None and verify.needs_change(taken.ret, ledger.packet):
            self.ctx.evidence("return.delta", "delta", "workspace", bool(delta), plain(delta))
        else:
            self.ctx.skip_gate("return.delta")


def _worth_telling(run: checks.CheckRun) -> dict[str, Any]:
    """A check's record without what it does not have: a command has no path, a file no exit code."""
    return {k: v for k, v in plain(run).items() if v not in ("", None)}


def _words(result: CriterionResult) -> str:
    """How a criterion came out, for a table."""
    if result.tier == "open":
        return result.why or "open"
    return {"verified": "passed", "observed": "passed"}.get(result.tier, "for a person to judge")
