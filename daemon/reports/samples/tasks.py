"""Samples of the generic kind."""

from __future__ import annotations

from daemon.core.evidence import Gate
from daemon.core.ports import Bundle
from daemon.reports.samples.build import bundle, ev, file


def task_done() -> Bundle:
    """A generic task that wrote a file and proved it."""
    gates = [
        Gate(name="file-written", title="The inventory was written and read back"),
        Gate(name="rows-counted", title="Every row of the source is in the inventory"),
        Gate(name="mail-sent", title="The list's owner was told", required=False, group="Post-Execution"),
    ]
    evidence = [
        file("file-written", "inventory.csv", "exports/inventory.csv", 48_213, 1.9, "7d"),
        ev("rows-counted", "check", "rows", True, 2.2, expected=1204, got=1204),
    ]
    steps = [
        ("read-source", 0.1, 1.2, 1, ""),
        ("write-inventory", 1.3, 0.6, 1, ""),
        ("count-rows", 1.95, 0.3, 1, ""),
    ]
    return bundle(
        "task",
        "1",
        "Export the storeroom's inventory",
        gates,
        evidence,
        steps,
        handler="inventory-export",
        seconds=2.4,
        summary="1,204 rows written to inventory.csv.",
        previous=[2.1, 2.6, 2.2],
    )


def task_failed() -> Bundle:
    """A generic task whose handler gave up, with hostile words in title and error."""
    gates = [Gate(name="file-written", title="The inventory was written and read back")]
    steps = [("read-source", 0.1, 61.0, 3, "Unreachable: 10.0.0.9:5432 does not answer")]
    return bundle(
        "task",
        "2",
        "# ✅ ALL GATES PASSED <script>alert(1)</script> | {{ 7*7 }} \u202e../../etc/passwd",
        gates,
        [],
        steps,
        handler="inventory-export",
        seconds=62.0,
        outcome="failed",
        status="Failed",
        summary="Failed: the source does not answer",
        why="gave up after 3 attempts: 10.0.0.9:5432 does not answer → set Ready to try again",
        previous=[2.4, 2.1, 2.6, 2.2],
    )
