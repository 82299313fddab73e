"""R00 to R90: for every code a return that passes and one that does not, through the real handler."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.core.evidence import GateResult
from daemon.core.outcome import Blocked, Delivered, Done, Failed, NeedsReview
from handlers.handoff import doors, packets
from handlers.handoff.intake import NAMES, Refused, strict_json

WORDS = "This file says at length what was found, so that it is no placeholder at all.\n"


@pytest.fixture
def ready(desk: Callable[..., Any]) -> Callable[..., Any]:
    """A desk whose agent has acknowledged and done the work."""

    def make(**fields: Any) -> Any:
        d = desk(**fields)
        assert isinstance(d.run(), Delivered)
        assert isinstance(d.acknowledge(), Delivered)
        d.write("out.txt", WORDS)
        return d

    return make


def refused(d: Any, code: str, field: str = "") -> dict[str, Any]:
    """The last return was refused with this code; its directions are complete and it can be mended."""
    number = len(packets.numbered(d.packet, "RETURN.rejected-"))
    note: dict[str, Any] = d.rejection(number)
    assert note["code"] == code, note
    assert note["name"] == NAMES[code]
    assert field in note["field"]
    assert all(note[k] for k in ("expected", "got", "how_to_fix", "fix_by", "sha256"))
    assert d.token() is None, "a refused file must not arrive again"
    assert d.packet.parent.name == "01_inbox"
    d.write("out.txt", WORDS)
    outcome = d.hand_in(d.template())
    assert isinstance(outcome, Done), outcome
    return note


# ── R00 ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        '{"a": 1} {"a": 2}',
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": ' + "9" * 50 + "}",
        "[" * 33 + "]" * 33,
        '{"a": "\\ud800"}',
        '"just text"',
        "[]",
        '{"a": "\\x"}',
        "\ufeff{}",
    ],
)
def test_r00_what_is_not_strict_json(ready: Any, text: str) -> None:
    d = ready()
    assert isinstance(d.hand_in(text), Delivered)
    refused(d, "R00")


def test_r00_bytes_that_are_not_utf8(ready: Any) -> None:
    d = ready()
    (d.packet / "RETURN.json").write_bytes(b'{"a": "\xff"}')
    d.age("RETURN.json")
    d.resume()
    refused(d, "R00")


def test_hf_5_62_kb_of_repeated_objects(ready: Any) -> None:
    d = ready()
    d.hand_in('{"handoff_id": "x"}\n' * 3300)
    refused(d, "R00")


def test_r00_too_large_is_not_read(ready: Any) -> None:
    d = ready()
    d.hand_in({**d.template(), "padding": "x" * 300_000})
    refused(d, "R00", "RETURN.json")


def test_r00_a_symlink_is_never_followed(ready: Any, tmp_path: Path) -> None:
    d = ready()
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(d.template()))
    (d.packet / "RETURN.json").symlink_to(secret)
    d.age("RETURN.json")
    d.resume()
    note = d.rejection()
    assert (note["code"], note["got"]) == ("R00", "a link")
    (d.packet / "RETURN.json").unlink()
    refused_then_mended = d.hand_in(d.template())
    assert isinstance(refused_then_mended, Done)
    assert secret.exists()


def test_r00_a_fifo_does_not_hang(ready: Any) -> None:
    d = ready()
    os.mkfifo(d.packet / "RETURN.json")
    d.age("RETURN.json")
    d.resume()
    assert d.rejection()["code"] == "R00"
    (d.packet / "RETURN.json").unlink()
    assert isinstance(d.hand_in(d.template()), Done)


def test_r00_a_second_name_for_another_file_is_refused(ready: Any, tmp_path: Path) -> None:
    d = ready()
    other = tmp_path / "other"
    other.write_text(json.dumps(d.template()))
    os.link(other, d.packet / "RETURN.json")
    d.age("RETURN.json")
    d.resume()
    assert "hard links" in d.rejection()["got"]


def test_r00_a_file_that_is_still_written_to_is_left_alone(ready: Any) -> None:
    d = ready()
    (d.packet / "RETURN.json").write_text(json.dumps(d.template())[:100])
    os.utime(d.packet / "RETURN.json", (d.now, d.now))
    d.later(1)
    assert d.token() is None
    d.put("RETURN.json", d.template())
    assert isinstance(d.resume(), Done)


def test_a_return_dated_in_the_future_is_read_all_the_same(ready: Any) -> None:
    d = ready()
    d.put("RETURN.json", d.template())
    os.utime(d.packet / "RETURN.json", (d.now + 86400, d.now + 86400))
    assert isinstance(d.resume(), Done)


def test_strict_json_takes_deep_but_legal_nesting_and_brackets_in_text() -> None:
    assert strict_json(b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\"[["}')
    with pytest.raises(Refused):
        strict_json(b'{"a": ' * 40 + b"1" + b"}" * 40)


# ── R10 ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema": "return/2"}, "$.schema"),
        ({"schema": None}, "$.schema"),
        ({"status": "success"}, "$.status"),
        ({"status": ""}, "$.status"),
        ({"summary": ""}, "$.summary"),
        ({"summary": "x" * 601}, "$.summary"),
        ({"claim_generation": "1"}, "$.claim_generation"),
        ({"handoff_id": "short"}, "$.handoff_id"),
        ({"criteria": [{"id": "AC1", "claim": "done"}]}, "$.criteria[0].claim"),
        (
            {"criteria": [{"id": "AC1", "claim": "met", "evidence": [{"kind": "trust me", "ref": "x"}]}]},
            "kind",
        ),
        ({"follow_ups": [{"intent_key": "Not A Key", "title": "Something"}]}, "intent_key"),
    ],
)
def test_r10_schema(ready: Any, change: dict[str, Any], field: str) -> None:
    d = ready()
    d.hand_in({**d.template(), **change})
    refused(d, "R10", field)


def test_r10_the_unfilled_template_is_refused(ready: Any) -> None:
    d = ready()
    d.hand_in((d.packet / "RETURN.template.json").read_text())
    refused(d, "R10", "$.status")


def test_r10_unknown_fields_are_kept(ready: Any) -> None:
    d = ready()
    assert isinstance(d.hand_in({**d.template(), "mood": "good"}), Done)
    assert json.loads((d.packet / "RETURN.accepted.json").read_text())["mood"] == "good"


# ── R20, R30 ────────────────────────────────────────────────────────────────────────────────────────


def test_hf_2_r20_an_id_that_shares_a_prefix_is_another(ready: Any) -> None:
    d = ready()
    doc = d.template()
    d.hand_in({**doc, "task_id": doc["task_id"][:31] + "0"})
    refused(d, "R20", "$.task_id")


def test_r20_another_handoffs_id(ready: Any) -> None:
    d = ready()
    d.hand_in({**d.template(), "handoff_id": "0" * 32})
    refused(d, "R20", "$.handoff_id")


def test_r30_a_foreign_token(ready: Any) -> None:
    d = ready()
    d.hand_in({**d.template(), "claim_token": "0" * 32})
    refused(d, "R30", "$.claim_token")


def test_r30_another_generation(ready: Any) -> None:
    d = ready()
    d.hand_in({**d.template(), "claim_generation": 7})
    refused(d, "R30", "$.claim_generation")


def test_r30_after_cancel_nothing_is_applied(ready: Any) -> None:
    d = ready()
    d.handler.cancel(d.task, d.params, d.context)
    assert d.packet.parent.name == "03_failed"
    assert json.loads((d.packet / "CANCEL").read_text())["reason"] == "the task was cancelled on the board"
    d.put("RETURN.json", d.template())
    assert isinstance(d.resume(), Delivered)
    assert d.rejection()["code"] == "R30"
    assert not (d.packet / "receipt.json").exists()


def test_an_edited_handoff_json_changes_nothing(ready: Any) -> None:
    d = ready()
    path = d.packet / "handoff.json"
    path.write_text(path.read_text().replace("out.txt", "/etc/passwd"))
    assert isinstance(d.hand_in(d.template()), Done)
    assert "/etc/passwd" not in (d.packet / "handoff.json").read_text()
    assert doors.verify_receipt(d.packet).ok


# ── R40 ─────────────────────────────────────────────────────────────────────────────────────────────

TWO = {"acceptance": ("AC1: out.txt holds it", "AC2: it is short")}


@pytest.mark.parametrize(
    ("criteria", "status"),
    [
        ([], "completed"),
        ([("AC1", "met")], "completed"),
        ([("AC1", "met"), ("AC2", "met"), ("AC1", "met")], "completed"),
        ([("AC1", "met"), ("AC2", "met"), ("AC3", "met")], "completed"),
        ([("AC1", "met"), ("AC2", "not_met")], "completed"),
        ([("AC1", "met"), ("AC2", "not_attempted")], "completed"),
        ([("AC1", "met"), ("AC2", "not_attempted")], "no_change_needed"),
        ([("AC1", "not_met"), ("AC2", "not_met")], "rejected"),
        ([("AC1", "not_met"), ("AC2", "not_met")], "input_required"),
    ],
)
def test_r40_coverage(ready: Any, criteria: list[tuple[str, str]], status: str) -> None:
    d = ready(**TWO)
    doc = {**d.template(), "status": status}
    doc["criteria"] = [{"id": cid, "claim": claim, "evidence": []} for cid, claim in criteria]
    assert isinstance(d.hand_in(doc), Delivered)
    assert d.rejection()["code"] == "R40"


def test_r40_an_optional_criterion_may_stay_open(ready: Any) -> None:
    d = ready(**TWO, parameters='check.AC1 = "file:out.txt"\noptional = ["AC2"]')
    doc = d.template()
    doc["criteria"][1]["claim"] = "not_met"
    assert isinstance(d.hand_in(doc), Done)


# ── R50 ─────────────────────────────────────────────────────────────────────────────────────────────


def with_proof(d: Any, ref: str, **more: Any) -> dict[str, Any]:
    doc: dict[str, Any] = d.template()
    doc["criteria"][0]["evidence"] = [{"kind": "file", "ref": ref, **more}]
    return doc


@pytest.mark.parametrize(
    "ref",
    [
        "missing.txt",
        "../../../etc/passwd",
        "/etc/passwd",
        "~/.ssh/id_rsa",
        "a\\b",
        "out.txt\u202e",
        "link.txt",
        "linked/passwd",
        "private/x.txt",
    ],
)
def test_r50_files_that_are_not_there_or_not_inside(ready: Any, ref: str) -> None:
    d = ready(parameters='check.AC1 = "file:out.txt"\nforbidden = ["private"]')
    (d.workspace / "link.txt").symlink_to("/etc/passwd")
    (d.workspace / "linked").symlink_to("/etc")
    d.write("private/x.txt", WORDS)
    d.hand_in(with_proof(d, ref))
    refused(d, "R50", "$.criteria[AC1].evidence[0]")


def test_r50_a_wrong_hash(ready: Any) -> None:
    d = ready()
    d.hand_in(with_proof(d, "out.txt", sha256="0" * 64))
    refused(d, "R50")


def test_circlechat_18_34_byte_proof(ready: Any) -> None:
    d = ready()
    d.write("proof.txt", "evidence that the task is complete")
    assert (d.workspace / "proof.txt").stat().st_size == 34
    d.hand_in(with_proof(d, "proof.txt"))
    note = refused(d, "R50")
    assert note["got"] == "34 bytes"


def test_r50_an_echo_of_the_task_is_no_result(ready: Any) -> None:
    title = "Write the findings of the long log into a file that others can read"
    d = ready(title=title)
    d.write("echo.md", f"# {title.upper()}!\n")
    d.hand_in(with_proof(d, "echo.md"))
    refused(d, "R50")


def test_r50_a_file_said_to_be_deleted_is_there(ready: Any) -> None:
    d = ready()
    doc = d.template()
    doc["changes"]["files"] = [{"path": "out.txt", "sha256_after": None}]
    d.hand_in(doc)
    refused(d, "R50", "$.changes.files[0]")


# ── R60 ─────────────────────────────────────────────────────────────────────────────────────────────


def test_r60_nothing_changed_since_the_claim(desk: Any, tmp_path: Path) -> None:
    work = tmp_path / "repo"
    work.mkdir()
    (work / "out.txt").write_text(WORDS)
    agents = {"cursor": {"workspaces": {"main": str(work)}, "workspace": "main"}}
    d = desk(agents=agents)
    d.run()
    d.acknowledge()
    assert isinstance(d.hand_in(d.template()), Delivered)
    assert d.rejection()["code"] == "R60"
    (work / "out.txt").write_text(WORDS * 2)
    assert isinstance(d.hand_in({**d.template(), "summary": "Now it is."}), Done)


def test_r60_an_untouched_file_named_as_changed(desk: Any, tmp_path: Path) -> None:
    work = tmp_path / "repo"
    work.mkdir()
    (work / "old.txt").write_text(WORDS)
    d = desk(agents={"cursor": {"workspaces": {"main": str(work)}, "workspace": "main"}})
    d.run()
    d.acknowledge()
    d.write("out.txt", WORDS)
    doc = d.template()
    doc["changes"]["files"] = [{"path": "old.txt", "sha256_after": packets.sha256(WORDS.encode())}]
    d.hand_in(doc)
    refused(d, "R60", "$.changes.files[0]")


def test_r70_another_file_changed_but_not_the_one_asked_for(desk: Any, tmp_path: Path) -> None:
    work = tmp_path / "repo"
    work.mkdir()
    (work / "out.txt").write_text(WORDS)
    d = desk(agents={"cursor": {"workspaces": {"main": str(work)}, "workspace": "main"}})
    d.run()
    d.acknowledge()
    d.write("other.txt", WORDS)
    d.hand_in(d.template())
    note = d.rejection()
    assert note["code"] == "R70" and "has not changed since the claim" in note["got"]


def test_no_change_needed_is_an_answer_when_the_check_only_reads(desk: Any, tmp_path: Path) -> None:
    work = tmp_path / "repo"
    work.mkdir()
    (work / "out.txt").write_text(WORDS)
    d = desk(
        agents={"cursor": {"workspaces": {"main": str(work)}, "workspace": "main"}},
        parameters='check.AC1 = {use = "file", path = "out.txt", read_only = true}',
    )
    d.run()
    d.acknowledge()
    outcome = d.hand_in({**d.template(), "status": "no_change_needed"})
    assert isinstance(outcome, Done)
    assert d.judged()["return.delta"].result is GateResult.NOT_APPLICABLE


# ── R70, R71, R80 ───────────────────────────────────────────────────────────────────────────────────


def checks(code: str, **more: Any) -> dict[str, Any]:
    return {"cursor": {"checks": {"tests": {"argv": [sys.executable, "-c", code], **more}}}}


def test_r70_the_daemon_runs_the_check_itself(ready: Any) -> None:
    code = "import sys, pathlib; sys.exit(0 if 'right' in pathlib.Path('out.txt').read_text() else 'wrong')"
    d = ready(agents=checks(code), parameters='check.AC1 = "tests"')
    assert isinstance(d.hand_in(d.template()), Delivered)
    note = d.rejection()
    assert note["code"] == "R70" and "exit code 1" in note["got"] and "wrong" in note["got"]
    d.write("out.txt", "right " + WORDS)
    outcome = d.hand_in({**d.template(), "summary": "Mended."})
    assert isinstance(outcome, Done)
    (criterion,) = outcome.data["criteria"]
    assert (criterion["tier"], criterion["exit"], criterion["result"]) == ("verified", 0, "passed")
    assert d.judged()["return.first_time"].result is GateResult.FAILED
    assert len(outcome.data["rejections"]) == 1


def test_r70_the_output_must_match_too(ready: Any) -> None:
    d = ready(
        agents=checks("print('0 passed')", regex="[1-9][0-9]* passed"), parameters='check.AC1 = "tests"'
    )
    d.hand_in(d.template())
    assert d.rejection()["code"] == "R70"


def test_r71_a_check_that_hangs_is_stopped(ready: Any) -> None:
    code = "import time; time.sleep(60)"
    d = ready(agents=checks(code, timeout=0.5), parameters='check.AC1 = "tests"')
    d.hand_in(d.template())
    note = d.rejection()
    assert note["code"] == "R71" and "timeout" in note["got"]


def test_ai_employee_705_r80_work_went_on_while_the_checks_ran(ready: Any) -> None:
    code = "open('out.txt', 'a').write('more')"
    d = ready(agents=checks(code), parameters='check.AC1 = "tests"')
    d.hand_in(with_proof(d, "out.txt"))
    assert d.rejection()["code"] == "R80"


def test_a_return_rewritten_while_it_was_checked_is_read_again(ready: Any) -> None:
    d = ready(agents=checks("pass"), parameters='check.AC1 = "tests"')
    code = f"open({str(d.packet / 'RETURN.json')!r}, 'a').write(' ')"
    ledger = packets.load_ledger(d.home, d.task.id, 1)
    check = ledger.packet.acceptance[0].check
    import msgspec

    once = msgspec.structs.replace(check, argv=(sys.executable, "-c", code))
    criterion = msgspec.structs.replace(ledger.packet.acceptance[0], check=once)
    changed = msgspec.structs.replace(ledger.packet, acceptance=(criterion,))
    before = packets.load_manifest(d.home, ledger.packet)
    packets.save_ledger(d.home, msgspec.structs.replace(ledger, packet=changed), before)
    assert isinstance(d.hand_in(d.template()), Delivered)
    assert not packets.numbered(d.packet, "RETURN.rejected-")
    packets.save_ledger(d.home, ledger, before)
    d.age("RETURN.json")
    assert isinstance(d.resume(), Done)


# ── R90 ─────────────────────────────────────────────────────────────────────────────────────────────


def follow_ups(*titles: str, **more: Any) -> list[dict[str, Any]]:
    return [{"intent_key": f"key-{i}", "title": t, **more} for i, t in enumerate(titles)]


def test_r90_follow_ups_are_created_once_and_the_rest_is_held(ready: Any) -> None:
    titles = (
        "Rotate the log",
        "Move the cache",
        "Write docs",
        "Add metrics",
        "Pin the toolchain",
        "Paint it blue",
    )
    d = ready()
    outcome = d.hand_in({**d.template(), "follow_ups": follow_ups(*titles, criteria=["It works"])})
    assert isinstance(outcome, Done)
    assert [f["title"] for f in outcome.data["follow_ups"]] == list(titles[:5])
    assert outcome.data["held"][0]["why"] == "more than 5 for one return"
    draft = d.context.made[f"follow-up:{d.task.id}:key-0"]
    assert draft.status.value == "Ready" and draft.agent == "cursor" and draft.handler == "handoff"
    assert "depth = 1" in draft.parameters and f'parent = "{d.task.id}"' in draft.parameters
    assert json.loads((d.packet / "receipt.json").read_text())["follow_ups"][5]["task"] == ""


def test_fusion_2319_paraphrases_are_held(ready: Any) -> None:
    d = ready(title="Write the findings")
    ups = follow_ups("Write the findings!", "Rotate the log files", "Rotate the log, files")
    outcome = d.hand_in({**d.template(), "follow_ups": ups})
    assert [f["title"] for f in outcome.data["follow_ups"]] == ["Rotate the log files"]
    assert all("much like" in f["why"] for f in outcome.data["held"])


def test_r90_depth_unknown_agent_and_missing_criteria(ready: Any) -> None:
    root = "d" * 32
    deep = ready(parameters=f'check.AC1 = "file:out.txt"\ndepth = 2\nroot = "{root}"\nparent = "{root}"')
    outcome = deep.hand_in({**deep.template(), "follow_ups": follow_ups("One more")})
    assert outcome.data["held"][0]["why"] == "depth 3: at most 2"


def test_r90_a_follow_up_without_criteria_is_a_draft_and_an_unknown_agent_is_held(ready: Any) -> None:
    d = ready()
    ups = [*follow_ups("Rotate the log"), {"intent_key": "b", "title": "Deploy", "suggested_agent": "../x"}]
    outcome = d.hand_in({**d.template(), "follow_ups": ups})
    (draft,) = d.context.made.values()
    assert draft.status.value == "Draft"
    assert "unknown agent" in outcome.data["held"][0]["why"]


def test_r90_twenty_a_day(ready: Any) -> None:
    from handlers.handoff import followups
    from handlers.handoff.model import FollowUp

    d = ready()
    for n in range(18):
        item = FollowUp(intent_key=f"x{n}", title=f"Quite other work number {n} {n * 7}")
        followups.note(d.home, followups.Planned(key=f"k{n}", proposal=item), "t", d.now)
    outcome = d.hand_in({**d.template(), "follow_ups": follow_ups("Alpha one", "Beta two", "Gamma three")})
    assert len(outcome.data["follow_ups"]) == 2
    assert outcome.data["held"][0]["why"] == "more than 20 today"


# ── tiers and outcomes ──────────────────────────────────────────────────────────────────────────────


def test_a_criterion_with_the_agents_own_evidence_goes_to_review(ready: Any) -> None:
    d = ready(**TWO)
    doc = d.template()
    doc["criteria"][1]["evidence"] = [{"kind": "command", "ref": "wc -w out.txt", "exit": 0}]
    outcome = d.hand_in(doc)
    assert isinstance(outcome, NeedsReview)
    assert outcome.reason == "AC2: only the agent's own evidence"
    assert outcome.data["tier"] == "reported" and "banner" not in outcome.data
    assert d.judged()["criteria.verified"].result is GateResult.FAILED


def test_words_only_go_to_review_with_a_banner(ready: Any) -> None:
    d = ready(**TWO)
    outcome = d.hand_in(d.template())
    assert isinstance(outcome, NeedsReview)
    assert outcome.data["banner"] == "NOT PROVED. AC2: nothing but the agent's word."


def test_not_applicable_is_only_a_word(ready: Any) -> None:
    d = ready()
    doc = d.template()
    doc["criteria"][0]["claim"] = "not_applicable"
    assert isinstance(d.hand_in(doc), NeedsReview)


@pytest.mark.parametrize(
    ("change", "kind", "place", "text"),
    [
        (
            {"status": "partial", "not_done": ["the second half"]},
            NeedsReview,
            "02_processed",
            "the second half",
        ),
        ({"status": "failed", "summary": "The log is gone."}, Failed, "03_failed", "The log is gone."),
        (
            {"status": "rejected", "refusal": {"code": "unsafe", "reason": "It deletes mail."}},
            Blocked,
            "03_failed",
            "refuses (unsafe): It deletes mail.",
        ),
        ({"status": "input_required", "questions": ["Which log?"]}, Blocked, "03_failed", "Which log?"),
    ],
)
def test_other_statuses(ready: Any, change: dict[str, Any], kind: type, place: str, text: str) -> None:
    d = ready()
    doc = {**d.template(), **change}
    doc["criteria"][0]["claim"] = "not_met"
    outcome = d.hand_in(doc)
    assert isinstance(outcome, kind), outcome
    assert text in outcome.reason  # type: ignore[attr-defined]  # all four have a reason
    assert d.packet.parent.name == place
    assert doors.verify_receipt(d.packet).ok
