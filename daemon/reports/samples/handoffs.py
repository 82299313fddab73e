"""Samples of handoffs: one that came back, one that waits."""

from __future__ import annotations

from daemon.core.evidence import Gate
from daemon.core.ports import Bundle
from daemon.reports.samples.build import bundle, ev, file


def handoff_back() -> Bundle:
    """A handoff that came back and was checked by the daemon."""
    gates = [
        Gate(name="delivered", title="The packet lies in the agent's inbox, whole", group="Delivery"),
        Gate(name="acknowledged", title="The agent took it", group="Delivery"),
        Gate(name="identity", title="The return is for this task and this claim", group="Return"),
        Gate(name="criteria", title="Every criterion holds, checked again here", group="Return"),
    ]
    evidence = [
        file("delivered", "handoff.json", "agents/claude-code/01_inbox/handoff.json", 5_120, 0.4, "a1"),
        ev("acknowledged", "check", "ACK.json", True, 41.0, agent="claude-code", after_seconds=40.6),
        ev("identity", "check", "RETURN.json", True, 903.0, handoff_id="h-7", claim_generation=1),
        ev(
            "criteria",
            "command",
            "AC-1",
            True,
            905.2,
            argv=["pytest", "-q"],
            code=0,
            seconds=1.9,
            tier="verified",
        ),
        ev(
            "criteria",
            "file",
            "AC-2",
            True,
            905.3,
            path="docs/cli.md",
            bytes=9_411,
            sha256="c4" * 32,
            tier="verified",
        ),
    ]
    return bundle(
        "handoff",
        "7",
        "Document the exit codes",
        gates,
        evidence,
        [("compile", 0.1, 0.2, 1, ""), ("deliver", 0.3, 0.1, 1, ""), ("verify", 903.1, 2.3, 1, "")],
        handler="handoff",
        seconds=906.0,
        agents=("Claude Code",),
        summary="Claude Code returned it complete; both criteria were checked again by the daemon.",
        data={
            "agent": "claude-code",
            "packet": f"20260108T113739Z--{'7' * 32}--g1",
            "delivery": 1,
            "ack_by": "2026-01-08T12:37:39Z",
            "return_by": "2026-01-09T11:37:39Z",
            "acknowledged_at": "2026-01-08T11:38:20Z",
            "understood": "List every exit code in docs/cli.md and hold it against the code by a test.",
            "lint": {"score": 92, "notes": ["no deadline on the page: the default stands"]},
            "rejections": [],
            "tier": "verified",
            "criteria": [
                {
                    "id": "AC-1",
                    "text": "The test of the table passes",
                    "required": True,
                    "claim": "met",
                    "tier": "verified",
                    "check": "pytest -q",
                    "exit": 0,
                    "seconds": 1.9,
                    "result": "verified by the daemon",
                },
                {
                    "id": "AC-2",
                    "text": "docs/cli.md lists every code",
                    "required": True,
                    "claim": "met",
                    "tier": "verified",
                    "result": "verified by the daemon",
                },
            ],
            "delta": {
                "added": [],
                "changed": ["docs/cli.md", "tests/test_cli.py"],
                "removed": [],
                "complete": True,
            },
            "not_done": [],
            "residual_risk": ["The table is kept by hand"],
            "held": [],
            "receipt": "receipts/000007.json",
            "receipt_sha256": "e7" * 32,
        },
    )


def handoff_waiting() -> Bundle:
    """A handoff that was delivered and waits for the agent."""
    full = handoff_back()
    gates = [
        Gate(name="delivered", title="The packet lies in the agent's inbox, whole", group="Delivery"),
        Gate(name="acknowledged", title="The agent took it", group="Delivery"),
    ]
    return bundle(
        "handoff",
        "8",
        "Document the exit codes",
        gates,
        full.evidence[:1],
        [("compile", 0.1, 0.2, 1, ""), ("deliver", 0.3, 0.1, 1, "")],
        handler="handoff",
        seconds=0.6,
        outcome="delivered",
        status="Waiting",
        agents=("Claude Code",),
        summary="The packet is in the inbox of Claude Code.",
        why="waits for claude-code",
        data={
            "agent": "claude-code",
            "packet": f"20260108T113739Z--{'8' * 32}--g1",
            "delivery": 1,
            "ack_by": "2026-01-08T12:37:39Z",
            "return_by": "2026-01-09T11:37:39Z",
            "acknowledged_at": "",
            "criteria": [{"id": "AC-1", "text": "The test of the table passes", "required": True}],
            "rejections": [{"code": "R40", "field": "$.criteria", "expected": "AC-1 once", "got": "0 times"}],
        },
    )
