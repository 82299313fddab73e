"""Acknowledgements, questions, refusals, deadlines, the doors, receipts; the state machine as a whole."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.core.evidence import GateResult
from daemon.core.outcome import Blocked, Delivered, Done, Retry
from daemon.sdk import BlockedError, NotFound, PermanentError
from handlers.handoff import doors, packets, receipts
from handlers.handoff.ladder import Due, Limits, Phase, Rung, Watch, due

WORDS = "This file says at length what was found, so that it is no placeholder at all.\n"


@pytest.fixture
def out(desk: Callable[..., Any]) -> Any:
    """A delivered handoff."""
    d = desk(agents={"cursor": {"escalation": ["codex"]}, "codex": {}})
    assert isinstance(d.run(), Delivered)
    return d


# ── acknowledge ─────────────────────────────────────────────────────────────────────────────────────


def test_opening_the_packet_is_no_acknowledgement(out: Any) -> None:
    doors.show(out.packet)
    (out.packet / "ACK.template.json").read_text()
    assert out.token() is None


@pytest.mark.parametrize(
    "name", ["ACK.accepted", "RETURN.rejected-1", "NUDGE-1", "QUESTION-1.accepted", "ANSWER-1"]
)
@pytest.mark.parametrize("text", ["{", "[]", '{"at": 5, "phase": {}, "sha256": []}'])
def test_marks_that_an_agent_spoiled_do_not_stop_the_clock(out: Any, name: str, text: str) -> None:
    (out.packet / f"{name}.json").write_text(text)
    out.later(20_000)
    for _ in range(4):
        token = out.token()
        if token is None or token.startswith("deadline"):
            break
        out.resume()
    assert out.token() is not None and out.token().startswith("deadline")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"understood": ""}, "R10"),
        ({"understood": "ok"}, "R10"),
        ({"claim_token": "0" * 32}, "R30"),
        ({"handoff_id": "0" * 32}, "R20"),
        ({"schema": "ack/9"}, "R10"),
    ],
)
def test_a_bad_acknowledgement_is_refused_with_directions(
    out: Any, change: dict[str, Any], code: str
) -> None:
    doc = json.loads((out.packet / "ACK.template.json").read_text())
    doc["understood"] = "write the findings down"
    out.put("ACK.json", {**doc, **change})
    assert isinstance(out.resume(), Delivered)
    assert json.loads((out.packet / "ACK.rejected-1.json").read_text())["code"] == code
    assert not (out.packet / "ACK.accepted.json").exists()
    assert out.token() is None
    out.put("ACK.json", doc)
    out.resume()
    assert (out.packet / "ACK.accepted.json").exists()
    assert out.context.comments, "the restatement goes on the page"


def test_two_acknowledgements_race_and_one_wins(out: Any) -> None:
    barrier = threading.Barrier(8)
    won: list[str] = []
    lost: list[str] = []

    def session(number: int) -> None:
        barrier.wait()
        try:
            doors.ack(out.packet, agent=f"s{number}", understood="write the findings", now=out.now)
            won.append(f"s{number}")
        except BlockedError as err:
            lost.append(err.message)

    threads = [threading.Thread(target=session, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(lost) == 7
    out.age("ACK.json")
    outcome = out.resume()
    assert outcome.data["understood"] == "write the findings"
    assert won[0] in next(iter(out.context.comments.values()))


def test_a_second_acknowledgement_by_file_is_told_who_won(out: Any) -> None:
    out.acknowledge("first one to understand it")
    doc = json.loads((out.packet / "ACK.json").read_text())
    out.put("ACK.json", {**doc, "agent": "late", "understood": "me too, please"})
    assert isinstance(out.resume(), Delivered)
    note = json.loads((out.packet / "ACK.rejected-1.json").read_text())
    assert note["winner"] == "tester" and note["code"] == "R30"
    assert json.loads((out.packet / "ACK.accepted.json").read_text())["agent"] == "tester"


def test_dealing_with_an_acknowledgement_twice_changes_nothing(out: Any) -> None:
    doors.ack(out.packet, agent="tester", understood="write the findings", now=out.now)
    out.age("ACK.json")
    out.resume()
    before = {p.name: p.read_bytes() for p in out.packet.iterdir() if p.is_file()}
    from handlers.handoff import replies

    ledger = packets.load_ledger(out.home, out.task.id, 1)
    dealt = replies.acknowledge(out.packet, ledger, out.now + 99)
    assert dealt.accepted
    assert {p.name: p.read_bytes() for p in out.packet.iterdir() if p.is_file()} == before


# ── ask, answer, refuse ─────────────────────────────────────────────────────────────────────────────


def test_a_question_stops_the_clocks_until_a_person_answers(out: Any) -> None:
    out.acknowledge()
    doors.ask(out.packet, need="Which log do you mean?", options=["app.log", "db.log"])
    out.age("QUESTION-1.json")
    outcome = out.resume()
    assert "a person's answer to cursor: Which log" in outcome.wait_for
    (_, comment) = list(out.context.comments.items())[-1]
    assert "Which log do you mean?" in comment and "app.log | db.log" in comment
    out.later(10 * 86400)
    assert out.token() is None, "no nudge while a person is asked"
    out.change(next_step="Take app.log")
    assert "return (next sign of life" in out.resume().wait_for
    assert json.loads((out.packet / "ANSWER-1.json").read_text())["answer"] == "Take app.log"
    assert out.token() is None


def test_a_person_may_answer_through_the_door_once(out: Any) -> None:
    out.acknowledge()
    doors.ask(out.packet, need="Which one?", blocks=False)
    out.age("QUESTION-1.json")
    out.resume()
    doors.answer(out.packet, 1, "the second", by="Ann", now=out.now)
    assert "return" in out.resume().wait_for
    assert out.token() is None
    with pytest.raises(BlockedError, match="has been answered"):
        doors.answer(out.packet, 1, "the first", by="Bob", now=out.now)
    with pytest.raises(NotFound):
        doors.answer(out.packet, 2, "x", by="Bob", now=out.now)


def test_question_numbers_are_never_used_twice(out: Any) -> None:
    names = {doors.ask(out.packet, need=f"Question {n}?").name for n in range(5)}
    assert names == {f"QUESTION-{n}.json" for n in range(1, 6)}


def test_refusing_is_an_answer(out: Any) -> None:
    doors.refuse(out.packet, code="wrong_agent", reason="I only write Go.")
    out.age("REFUSE.json")
    outcome = out.resume()
    assert isinstance(outcome, Blocked)
    assert outcome.reason == "cursor refuses (wrong_agent): I only write Go."
    assert out.packet.parent.name == "03_failed"
    assert out.token() is None
    recorded = {(e.gate, e.subject): (e.ok, e.data) for e in out.context.recorded}
    assert recorded["packet.published", "01_inbox/" + out.packet.name][1]["agent"] == "cursor"
    assert recorded["ack.valid", "REFUSE.accepted.json"][0] is None
    assert recorded["ack.valid", "REFUSE.accepted.json"][1]["refused"] == "wrong_agent"


# ── nothing rots ────────────────────────────────────────────────────────────────────────────────────


def test_hf_9_silence_climbs_the_ladder_to_a_person(out: Any) -> None:
    out.later(3601)
    assert isinstance(out.resume(), Delivered)
    assert "acknowledgement was due" in json.loads((out.packet / "NUDGE-1.json").read_text())["message"]
    assert out.token() is None
    out.later(3601)
    outcome = out.resume()
    assert isinstance(outcome, Retry) and outcome.data["rung"] == "redeliver"
    first = out.packet
    assert first.parent.name == "03_failed" and (first / "CANCEL").exists()

    assert isinstance(out.again(), Delivered)
    assert out.doc["agent"] == "cursor" and out.packet.name.endswith("--g2")
    out.later(3601)
    out.resume()
    out.later(3601)
    outcome = out.resume()
    assert isinstance(outcome, Retry) and outcome.data["to"] == "codex"

    assert isinstance(out.again(), Delivered)
    assert out.packet.parent.parent.name == "codex"
    assert "did not answer" in out.doc["routed_because"]
    out.later(3601)
    out.resume()
    out.later(3601)
    outcome = out.resume()
    assert isinstance(outcome, Blocked) and "a person has to decide" in outcome.reason
    assert not list(out.home.glob("agents/*/01_inbox/*"))

    assert isinstance(out.again(), Delivered), "a person set it Ready again: the ladder starts over"
    assert out.doc["agent"] == "cursor"
    assert packets.load_ledger(out.home, out.task.id, 4).delivery == 1


def test_signs_of_life_keep_the_ladder_away(out: Any) -> None:
    out.acknowledge()
    for _ in range(4):
        out.later(1500)
        doors.beat(out.packet, now=out.now, note="still at it")
        os.utime(out.packet / "HEARTBEAT", (out.now, out.now))
        assert out.token() is None
    out.later(1801)
    assert out.token().startswith("deadline:nudge-")


def test_a_refused_return_may_be_mended_for_half_an_hour(out: Any) -> None:
    out.acknowledge()
    out.hand_in("nonsense")
    assert "mended return (by" in out.handler.resume(out.task, out.params, out.context).wait_for
    out.later(1790)
    assert out.token() is None
    out.later(20)
    outcome = out.resume()
    assert isinstance(outcome, Retry) and outcome.data["rung"] == "reassign"


def test_the_new_delivery_carries_what_went_wrong_before(out: Any) -> None:
    out.acknowledge()
    out.hand_in("nonsense")
    out.later(1801)
    out.resume()
    out.again()
    assert (out.packet / "context" / "g1-RETURN.rejected-1.json").exists()


def test_a_cancelled_handoff_takes_no_answers(out: Any) -> None:
    packet = out.packet
    out.handler.cancel(out.task, out.params, out.context)
    out.handler.cancel(out.task, out.params, out.context)
    assert not packet.exists() and (out.packet / "CANCEL").exists()
    for verb in (
        lambda: doors.ack(out.packet, agent="x", understood="something long", now=out.now),
        lambda: doors.beat(out.packet, now=out.now),
        lambda: doors.return_(out.packet, summary="x"),
        lambda: doors.refuse(out.packet, code="unsafe", reason="x"),
    ):
        with pytest.raises(BlockedError, match="cancelled"):
            verb()


TIMES = st.floats(0, 10**7, allow_nan=False)
LIMITS = st.builds(
    Limits,
    ack_within=st.floats(1, 10**5),
    time_limit=st.floats(1, 10**5),
    silence_limit=st.floats(1, 10**5),
    fix_window=st.floats(1, 10**5),
    deliveries=st.integers(1, 5),
    delivery=st.integers(1, 5),
    others=st.lists(st.sampled_from(["a", "b"]), max_size=2),
)


@given(
    now=TIMES,
    limits=LIMITS,
    watch=st.builds(
        Watch,
        delivered=TIMES,
        acknowledged=st.none() | TIMES,
        rejected=st.none() | TIMES,
        sign=st.none() | TIMES,
        asked=st.booleans(),
        answered=st.none() | TIMES,
        nudged=st.lists(st.tuples(st.sampled_from(Phase), TIMES), max_size=3).map(tuple),
    ),
)
def test_the_ladder_is_total_and_never_early(now: float, limits: Limits, watch: Watch) -> None:
    step = due(now, watch, limits)
    if watch.asked:
        assert step is None
    if step is None:
        return
    assert step.at <= now
    if step.rung in (Rung.REDELIVER, Rung.REASSIGN):
        assert limits.delivery < limits.deliveries
    assert (step.to != "") == (step.rung is Rung.REASSIGN)


@given(limits=LIMITS, delivered=TIMES)
def test_every_silent_delivery_ends(limits: Limits, delivered: float) -> None:
    watch = Watch(delivered=delivered)
    now = delivered
    for _ in range(4):
        now += 2.1 * limits.ack_within + 1
        step = due(now, watch, limits)
        assert isinstance(step, Due)
        if step.rung is not Rung.NUDGE:
            return
        watch = msgspec.convert({**msgspec.to_builtins(watch), "nudged": [(step.phase.value, now)]}, Watch)
    pytest.fail("still waiting after four looks")


# ── doors ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_states_are_those_of_a2a(out: Any) -> None:
    root = out.packet.parent.parent

    def state() -> str:
        (view,) = doors.list_packets(root)
        return view.state

    assert state() == "submitted"
    out.acknowledge()
    assert state() == "working"
    doors.ask(out.packet, need="Which one?")
    assert state() == "input_required"
    doors.answer(out.packet, 1, "this", by="Ann", now=out.now)
    assert state() == "working"
    out.age("QUESTION-1.json")
    out.resume()
    out.write("out.txt", WORDS)
    doors.return_(out.packet, summary="Done.", files=["out.txt"])
    out.age("RETURN.json")
    assert isinstance(out.resume(), Done)
    assert state() == "completed"
    with pytest.raises(BlockedError, match="has ended"):
        doors.return_(out.packet, summary="Again.")


def test_the_return_door_checks_before_it_writes(out: Any) -> None:
    with pytest.raises(PermanentError, match=r"\$\.status"):
        doors.return_(out.packet, status="success", summary="x")
    with pytest.raises(PermanentError, match="leaves the workspace"):
        doors.return_(out.packet, summary="x", files=["../x"])
    assert not (out.packet / "RETURN.json").exists()


def test_a_waiting_return_is_not_overwritten_and_a_refused_one_is(out: Any) -> None:
    doors.return_(out.packet, summary="First.")
    with pytest.raises(BlockedError, match="being checked"):
        doors.return_(out.packet, summary="Second.")
    out.age("RETURN.json")
    out.resume()
    assert out.rejection()["code"] == "R60"
    out.write("out.txt", WORDS)
    doors.return_(out.packet, summary="Second.", files=["out.txt"])
    out.age("RETURN.json")
    assert isinstance(out.resume(), Done)


def test_show_tells_both_sides(out: Any) -> None:
    out.acknowledge()
    doors.beat(out.packet, now=out.now, note="reading", percent=10)
    shown = doors.show(out.packet)
    assert shown["state"] == "working" and shown["packet"]["task_id"] == out.task.id
    assert {"ACK.json", "ACK.accepted.json"} <= set(shown["replies"])
    assert shown["heartbeat"] is not None


def test_a_folder_that_is_no_packet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "handoff.json").write_text("{}")
    with pytest.raises(NotFound):
        doors.show(tmp_path)


# ── receipts ────────────────────────────────────────────────────────────────────────────────────────


def finished(desk: Callable[..., Any], count: int) -> list[Any]:
    done = []
    for number in range(count):
        d = desk(id=f"{number + 1:032x}")
        d.run()
        d.acknowledge()
        d.write("out.txt", WORDS)
        assert isinstance(d.hand_in(d.template()), Done)
        done.append(d)
    return done


def test_receipts_are_chained_and_checkable_offline(desk: Callable[..., Any]) -> None:
    done = finished(desk, 3)
    chain = [receipts.load(d.packet / "receipt.json") for d in done]
    assert [r.sequence for r in chain] == [1, 2, 3]
    assert [r.previous_sha256 for r in chain[1:]] == [r.receipt_sha256 for r in chain[:2]]
    for d in done:
        verification = doors.verify_receipt(d.packet / "receipt.json")
        assert verification.ok and len(verification.checked) == 3
    assert (done[0].packet / "receipt.md").read_text().startswith("# Receipt 1: Write the findings")


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("receipt.json", "verified", "asserted", "changed after it was written"),
        ("RETURN.accepted.json", "All of it", "None of it", "RETURN.accepted.json is not what"),
        ("handoff.json", "Write the", "Erase the", "handoff.json is not what"),
    ],
)
def test_a_changed_byte_is_found(
    desk: Callable[..., Any], name: str, old: str, new: str, problem: str
) -> None:
    (d,) = finished(desk, 1)
    path = d.packet / name
    path.write_text(path.read_text().replace(old, new, 1))
    verification = doors.verify_receipt(d.packet)
    assert not verification.ok and problem in "; ".join(verification.problems)


def test_a_missing_or_changed_link_breaks_the_chain(desk: Callable[..., Any]) -> None:
    done = finished(desk, 3)
    folder = done[0].packet.parent.parent / "receipts"
    first = receipts.listed(folder)[0]
    text = first.read_text()
    first.write_text(text.replace("All of it is done.", "Almost all is done."))
    assert "the chain is broken at 000001" in doors.verify_receipt(done[2].packet).problems[0]
    first.unlink()
    assert not doors.verify_receipt(done[2].packet).ok


def test_killed_between_receipt_and_move_writes_no_second_receipt(desk: Callable[..., Any]) -> None:
    (d,) = finished(desk, 1)
    receipt = receipts.load(d.packet / "receipt.json")
    again = receipts.append(d.packet.parent.parent, receipt, 1)
    assert again == receipt
    assert len(receipts.listed(d.packet.parent.parent / "receipts")) == 1


def test_receipts_written_at_once_make_one_chain(desk: Callable[..., Any]) -> None:
    (d,) = finished(desk, 1)
    root = d.packet.parent.parent
    draft = receipts.load(d.packet / "receipt.json")
    drafts = [msgspec.structs.replace(draft, task_id=f"{n:032x}", run=f"{n:032x}.g1") for n in range(2, 14)]
    threads = [threading.Thread(target=receipts.append, args=(root, each, 1)) for each in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = receipts.listed(root / "receipts")[-1]
    assert receipts.load(last).sequence == 13
    assert not [p for p in receipts.verify(last).problems if "chain" in p]


# ── the state machine ───────────────────────────────────────────────────────────────────────────────

MOVES = ("ack", "bad ack", "beat", "ask", "answer", "good return", "bad return", "work", "sleep", "refuse")


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=14))
def test_any_order_of_answers_keeps_the_promises(
    desk: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, moves: list[str]
) -> None:
    """One packet, one winner, Done only with proof, and every arrival is dealt with once."""
    d = desk()
    d.home = tmp_path_factory.mktemp("home")
    d.context = d._context()
    d.run()
    outcome: Any = None
    for number, move in enumerate(moves):
        _move(d, move, number)
        for _ in range(6):
            token = d.token()
            if token is None:
                break
            outcome = d.handler.resume(d.task, d.params, d.context)
            assert d.token() != token, f"{token} arrives again after it was dealt with"
            if not isinstance(outcome, Delivered):
                break
        if outcome is not None and not isinstance(outcome, Delivered):
            break
    assert len(list(d.home.rglob("handoff.json"))) == 1
    assert len(list(d.packet.glob("ACK.accepted.json"))) <= 1
    if isinstance(outcome, Done):
        assert (d.workspace / "out.txt").read_text() == WORDS
        assert d.judged()["criteria.verified"].result is GateResult.PASSED
        assert doors.verify_receipt(d.packet).ok
    else:
        assert not (d.packet / "receipt.json").exists()


def _move(d: Any, move: str, number: int) -> None:
    name = ""
    if move == "ack":
        name = "ACK.json"
        doc = json.loads((d.packet / "ACK.template.json").read_text())
        (d.packet / name).write_text(json.dumps({**doc, "understood": f"understood it, {number}"}))
    elif move == "bad ack":
        name = "ACK.json"
        (d.packet / name).write_text("{")
    elif move == "beat":
        doors.beat(d.packet, now=d.now)
        name = "HEARTBEAT"
    elif move == "ask":
        name = doors.ask(d.packet, need=f"Question {number}?").name
    elif move == "answer":
        d.change(next_step=f"Answer {number}")
    elif move == "good return":
        name = "RETURN.json"
        (d.packet / name).write_text(json.dumps({**d.template(), "summary": f"Return {number}"}))
    elif move == "bad return":
        name = "RETURN.json"
        (d.packet / name).write_text(json.dumps({**d.template(), "status": "done", "summary": f"{number}"}))
    elif move == "work":
        d.write("out.txt", WORDS)
    elif move == "refuse":
        doors.refuse(d.packet, code="unsafe", reason="It is not safe.")
        name = "REFUSE.json"
    elif move == "sleep":
        d.later(1200)
    if name:
        d.age(name)
