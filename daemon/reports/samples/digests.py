"""A sample of the report handler's digest."""

from __future__ import annotations

from daemon.core.evidence import Gate
from daemon.core.ids import run_id
from daemon.core.ports import Bundle
from daemon.reports.samples.build import BEGAN, bundle, ev


def digest_of_a_day() -> Bundle:
    """What ran in a day, from recorded evidence."""
    rows = [
        ("3", "Sync “Where Are You Now”", "music-sync", "completed", 14.2, 9, 10),
        ("6", "Sync what plays on Spotify", "music-sync", "review", 29.7, 2, 10),
        ("7", "Document the exit codes", "handoff", "completed", 906.0, 4, 4),
        ("2", "Export the storeroom's inventory", "inventory-export", "failed", 62.0, 0, 1),
    ]
    runs = [
        {
            "run": run_id(digit * 32, 1),
            "task": digit * 32,
            "title": title,
            "handler": handler,
            "state": state,
            "started": BEGAN - 3600 * (4 - i),
            "ended": BEGAN - 3600 * (4 - i) + seconds,
            "gates": {"passed": passed, "of": of},
            "result": "",
        }
        for i, (digit, title, handler, state, seconds, passed, of) in enumerate(rows)
    ]
    gates = [Gate(name="runs-read", title="Every recorded run of the span was read")]
    evidence = [ev("runs-read", "query", "store", True, 0.1, rows=4, since=BEGAN - 86400, until=BEGAN)]
    return bundle(
        "digest",
        "9",
        "Digest of the last day",
        gates,
        evidence,
        [("collect", 0.05, 0.08, 1, "")],
        handler="report",
        seconds=0.2,
        summary="4 runs: 2 completed, 1 for review, 1 failed.",
        data={
            "since": BEGAN - 86400,
            "until": BEGAN,
            "total": len(runs),
            "runs": runs,
            "handlers": [
                {
                    "handler": "music-sync",
                    "runs": ["3", "6"],
                    "median_s": 21.95,
                    "seconds": 43.9,
                    "files": 4,
                    "bytes": 57_132_398,
                },
                {
                    "handler": "handoff",
                    "runs": ["7"],
                    "median_s": 906.0,
                    "seconds": 906.0,
                    "files": 2,
                    "bytes": 14_531,
                },
                {
                    "handler": "inventory-export",
                    "runs": ["2"],
                    "median_s": 62.0,
                    "seconds": 62.0,
                    "files": 0,
                    "bytes": 0,
                },
            ],
            "failures": [
                {
                    "title": rows[3][1],
                    "handler": rows[3][2],
                    "state": "failed",
                    "reason": "the source does not answer",
                },
                {
                    "title": rows[1][1],
                    "handler": rows[1][2],
                    "state": "review",
                    "reason": "not proved: files",
                },
            ],
            "waiting": [],
            "warnings": [
                {"text": "1 run with a required gate that has no evidence", "runs": [run_id("6" * 32, 1)]}
            ],
        },
    )
