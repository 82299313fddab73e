"""The handler ``report``: a digest of what ran, from recorded runs, gates and evidence and nothing else.

The predecessor's reports gave library totals as a run's result and a literal SUCCESS as its status; here
every number comes with the ids of the runs that it was counted from.
"""

from __future__ import annotations

from typing import ClassVar

from daemon.sdk import BlockedError, Context, Done, Gate, Outcome, Task, handler
from handlers.report.params import Params as ReportParams


@handler
class Report:
    """``Params``: since (``7d``, ``24h`` or an ISO date), until, kind."""

    name: ClassVar[str] = "report"
    Params: ClassVar[type] = ReportParams
    report: ClassVar[str] = "digest"
    time_limit: ClassVar[float] = 300.0
    gates: ClassVar[tuple[Gate, ...]] = (
        Gate(name="history.read", title="The recorded runs of the span were read", group="Digest"),
        Gate(
            name="digest.computed",
            title="Every run is counted exactly once, and each number names its runs",
            group="Digest",
        ),
    )

    def run(self, task: Task, params: ReportParams, ctx: Context) -> Outcome:
        """Read the history, count, and say what stands out."""
        from handlers.report.digest import plain, read, span_of, summary

        span = span_of(params.since, params.until, ctx.run.started)
        if span.problem:
            raise BlockedError(span.problem, hint='write since = "7d", "24h", "2w" or an ISO date')
        found = ctx.step("read history", read, ctx, span)
        ctx.evidence(
            "history.read",
            "query",
            "store",
            found.in_span,
            {
                "runs": len(found.runs),
                "since": span.since,
                "until": span.until,
                "ids_sha256": found.ids_sha256,
            },
        )
        for check in found.cross_checks:
            ctx.evidence("digest.computed", "check", check.name, check.ok, {"got": check.got, "of": check.of})
        return Done(summary=summary(found.digest), data={**plain(found.digest), "runs": found.runs})
