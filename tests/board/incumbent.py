"""A tasks database as they are found: 200 and more properties that grew over years.

The names are those of the board that handoffd replaces, with what goes wrong on such boards: a relation or a
rollup for the agent, ``Complete`` beside ``Completed``, names that end in a space or differ in case only,
options that are missing, a status that is a select.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

DISTRIBUTION = ("Planning", "Draft", "Ready", "Completed", "Blocked", "Review", "Archived")
"""The options that rows had; more were in use by scripts only."""

OPTIONS = (*DISTRIBUTION, "Complete", "In Progress", "In-Progress", "Ready for Handoff")

TEXTS = """Trigger Payload JSON
Agent Trigger File Links|Agent Handoff File Links|Execution Log|Execution Log (JSONL)
Decision Log|Decision Log (JSONL)|Artifacts|Human Actions Required|Resume From Here|Last Checkpoint Summary
Approval Mode|Execution Model|Pre-Execution Checklist|Verification Checklist|Rollback Plan|Dry Run Plan
Agent_Status_Cache|Agent_UUID_Cache|_last_synced_iso|MCP Session ID|MCP Current Action|MCP Payload
MCP Execution Log|MCP Error Details|MCP Last Checkpoint|MCP Next Actions|MCP Output Artifacts
MCP Validation Results|MCP Performance Metrics|MCP Resource Usage|MCP Context Changes|MCP Decision Log
MCP Intermediate Results|MCP User Interactions|Type|Description|Next Required Step
Success Criteria |Blocking Reason|Execution-Result|Notes for Reviewer|next required step
Owner Comment|Client Facing Notes"""
NUMBERS = """Revision Count|Dependency Chain Position|MCP Progress Percentage|MCP Step Counter|MCP Total Steps
MCP Retry Count|MCP Duration|Estimated Hours|Actual Hours|Agent_Priority_Number"""
DATES = "Target Date|Last Trigger Timestamp|Approval Date|MCP Start Time|MCP End Time|Review Date|Start Date"
SELECTS = """Trigger Delivery Status
Research Mode Detected|Dependency Status|Review Outcome|Task Type|Item-Type
item-type|Execution Authorization|User Approval Required|Approved Channel|Environment"""
CHECKS = """MCP|MCP2|MCP Send Webhook|Dependency Override|Archive|Pre-Flight Passed|Is Executable
Completion Ready 1|Evidence Packet Ready|archive"""
LINKS = "Agent Trigger Folder Path|Agent Handoff Folder Path|Spec Link"
PEOPLE = "Assignee|Owner|Approved By"
RELATIONS = (
    "🤖 Agent-Projects|Projects|Prerequisite Tasks|Dependent Tasks|Parent item|Sub-item|Execution-Logs"
)
NOISE = """Observability
Schema Validation|IaC Compatibility|Governance|Compliance|Telemetry|Lineage|Idempotency
Rollout|Resilience|Traceability|Auditability|Portability|Security|Privacy|Latency|Throughput|Availability"""
LEVELS = ("Score", "Level", "Tier", "Owner Group", "Policy", "Review State")


def _words(text: str) -> list[str]:
    return [word for line in text.split("\n") for word in line.split("|")]


def created(
    agents: str, *, status: str = "status", agent: str = "relation", options: tuple[str, ...] = OPTIONS
) -> Schema:
    """The schema for creating it with the API. ``agents``: data source of the Agents database, to which the
    agent relates; ``status``, ``agent``: type of these properties. A rollup shows the names of the pages that
    “Agent Page” relates to."""
    made: Schema = {"Task Name": {"title": {}}}
    made["Status"] = {status: {"options": [{"name": name} for name in options]}}
    made["Priority"] = {"select": {"options": [{"name": n} for n in ("Critical", "High", "Medium", "Low")]}}
    for kind, names in (
        ("rich_text", TEXTS),
        ("number", NUMBERS),
        ("date", DATES),
        ("select", SELECTS),
        ("checkbox", CHECKS),
        ("url", LINKS),
        ("people", PEOPLE),
    ):
        made.update({name: {kind: {}} for name in _words(names)})
    to = {"data_source_id": agents, "type": "single_property", "single_property": {}}
    made.update({name: {"relation": dict(to)} for name in _words(RELATIONS)})
    made["Agent Page" if agent == "rollup" else "Assigned-Agent"] = {"relation": dict(to)}
    if agent == "rollup":
        shown = {"relation_property_name": "Agent Page", "rollup_property_name": "Name"}
        made["Assigned-Agent"] = {"rollup": {**shown, "function": "show_original"}}
    made["Assigned-Agent "] = {"rich_text": {}}
    made["Handoff Status"] = {"status": {"options": [{"name": "Handoff Delivered"}]}}
    made["Approval Status"] = {"status": {"options": [{"name": "Approved"}]}}
    made["Report"] = {"number": {}}
    made["Tags"] = {"multi_select": {}}
    made.update({f"{noise} {level}": {"select": {}} for noise in _words(NOISE) for level in LEVELS})
    assert len(made) > 200
    return made


def make(hand: Callable[..., dict[str, Any]], parent: dict[str, Any], **how: Any) -> dict[str, Any]:
    """Both databases on a real board: the tasks', as the API answered; under ``agents`` the other one."""
    agents = hand(
        "POST",
        "databases",
        {
            "parent": parent,
            "title": [{"text": {"content": "AI Agents"}}],
            "initial_data_source": {"properties": {"Name": {"title": {}}}},
        },
    )
    tasks = hand(
        "POST",
        "databases",
        {
            "parent": parent,
            "title": [{"text": {"content": "Agent-Tasks (grown)"}}],
            "initial_data_source": {"properties": created(agents["data_sources"][0]["id"], **how)},
        },
    )
    return {**tasks, "agents": agents}
