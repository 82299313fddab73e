"""docs/reliability.md and docs/simulate.md name tests and scenarios that exist."""

from __future__ import annotations

import re
from pathlib import Path

from daemon.simulate.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
HANDLERS = {"music-sync"}
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there() -> None:
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", sources))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 10 and named <= there, named - there


def test_every_scenario_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", PAGE)) - HANDLERS
    assert len(named) > 3 and named <= set(SCENARIOS), named - set(SCENARIOS)


FROM_THE_FIELD = [
    "vib-head-of-line-56",
    "vib-prefix-2dee7361",
    "vib-2955-empty-success",
    "vib-moved-at-birth",
    "vib-357-day-trigger",
    "gh-sym-579-poison-starves",
    "gh-sym-433-phantom-recovery",
    "gh-sym-140-retry-skips-blocker",
    "multica-4336-lost-fail-post",
    "multica-1049-self-reply-677",
    "fusion-2319-paraphrase-18",
    "hermes-21141-reclaim-no-kill",
    "hermes-49064-unkillable",
    "hermes-73277-hostname-change",
    "hermes-107485-makeup-eats-slot",
    "hermes-106255-burst",
    "n8n-28480-same-minute",
    "n8n-6604-minute-edge",
    "aegra-547-same-worker-name",
    "lion-917-lease-steal",
    "basecamp-45-lost-delivery",
    "basecamp-41-silent-disable",
    "circlechat-18-34-byte-proof",
    "ai-employee-705-proof-older-than-work",
    "preloop-510-late-approval",
    "wso2-424-cancel-keeps-billing",
    "orbit-866-impossible-blocker",
    "trace-573-busy-not-dead",
    "opencrabs-534-silent-lkg",
    "ace-cap-counts-starts-not-runs",
    "zeroclaw-recover-all",
    "jre-unreachable-cap",
    "notion-504-halve-page",
    "notion-patch-landed-after-timeout",
]


def test_every_report_of_the_field_is_a_scenario_or_says_where_it_is_played() -> None:
    page = (ROOT / "docs" / "simulate.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([a-z0-9]+(?:-[a-z0-9]+)+) \| (.+) \|$", page, re.MULTILINE))
    assert sorted(rows) == sorted(FROM_THE_FIELD)
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", sources))
    for name, where in rows.items():
        played = f"scenario `{name}`" == where
        assert played == (name in SCENARIOS), f"{name}: the table and the registry disagree"
        assert played or set(re.findall(r"`(test_\w+)`", where)) <= there, f"{name}: {where}"
        assert played or "`test_" in where or where == "the same", name
