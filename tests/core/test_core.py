"""The pure core: ids, text, claims, order, routing, gates, endings."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core import claim as claims
from daemon.core import ids, order, text
from daemon.core.backoff import Backoff
from daemon.core.claim import Claim
from daemon.core.effects import ending
from daemon.core.evidence import Evidence, Gate, GateResult, Verdict, files_of, judge, verdict
from daemon.core.gates import Call, HandlerFacts, Known, decide, queued
from daemon.core.outcome import Cancelled, Done, Retry, Snooze
from daemon.core.routing import Route, Rule, route
from daemon.core.status import RunState, Status
from daemon.core.task import Priority, Task
from daemon.testing import sample_task

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
ROUTED = Route(handler="h", because="test")


def known(**more) -> Known:
    values = {"now": 1000.0, "next_tick": 1030.0, "handlers": {"h": HandlerFacts(name="h")}}
    return Known(**{**values, **more})


def say(task: Task, **more):
    return decide(task, more.pop("route", ROUTED), known(**more), more.pop("since", {}))


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────────


@given(HEX)
def test_every_spelling_of_an_id_is_one_id(task: str) -> None:
    dashed = ids.dashed(task)
    for spelling in (
        task,
        task.upper(),
        dashed,
        f"https://www.notion.so/Some-Title-{task}",
        f"https://www.notion.so/{task}?pvs=4#{'0' * 32}",
        f"https://app.notion.com/p/{task}",
        f"https://www.notion.so/team/{'f' * 32}?v={'e' * 32}&p={task}&pm=s",
        f"https://www.notion.so/deadbeef-{task}",
        f"https://acme.notion.site/{'%C3%9C'}bersicht-{task}?source=copy_link",
        f"https://www.notion.so/acme/A-title-{dashed}/",
        f"https://app.notion.com/p/acme/Title-{task}?v={'e' * 32}",
        f"notion://www.notion.so/acme/Title-{task}",
        f"www.notion.so/Title-{task.upper()}",
        f"app.notion.com/p/{task}",
        f"collection://{dashed}",
    ):
        assert ids.normalise(spelling) == task, spelling


@given(HEX, st.integers(1, 10**6))
def test_a_run_id_splits_into_what_it_was_made_of(task: str, generation: int) -> None:
    assert ids.split_run_id(ids.run_id(task, generation)) == (task, generation)


@pytest.mark.parametrize(
    "bad", ["", "abc", "g" * 32, "a" * 31, "a" * 33, "https://x.org/", "a" * 32 + "\n#b", "x.org/" + "a" * 32]
)
def test_what_is_no_id_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="no page id"):
        ids.normalise(bad)


def test_AT_19_ids_that_share_a_prefix_are_different_tasks() -> None:
    first, second = "2e2e73616c27" + "0" * 20, "2e2e73616c27" + "1" * 20
    active = {first: f"{first}.g1"}
    assert say(sample_task(id=first), active=active).gate == "running"
    assert say(sample_task(id=second), active=active).verdict is Call.DISPATCH


# ── text ──────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(), st.integers(2, 50))
def test_AT_13_chunks_lose_nothing_and_fit(value: str, limit: int) -> None:
    parts = text.chunks(value, limit)
    assert "".join(parts) == value
    assert all(text.utf16_units(p) <= limit for p in parts)


@given(st.text())
def test_visible_text_has_no_control_or_format_character(value: str) -> None:
    import unicodedata

    shown = text.visible(value)
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)


@given(st.text(), st.integers(1, 60))
def test_a_slug_is_plain_ascii_and_bounded(value: str, limit: int) -> None:
    made = text.slug(value, limit)
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert made and (len(made) <= limit or made == "untitled")
    assert not made.startswith("-") and not made.endswith("-")


def test_a_cut_shows() -> None:
    assert text.shorten("x" * 50, 20).endswith(" […]")
    assert text.shorten("x" * 20, 20) == "x" * 20


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────

CLAIMS = st.builds(
    Claim,
    owner=st.from_regex(r"[A-Za-z0-9._-]{1,20}/[A-Za-z0-9._-]{1,20}", fullmatch=True),
    generation=st.integers(0, 10**6),
    nonce=st.from_regex(r"[a-z0-9]{4,20}", fullmatch=True),
    lease_until_ms=st.integers(0, 10**15),
)


@given(CLAIMS)
def test_a_claim_survives_the_page(claim: Claim) -> None:
    assert claims.parse(claim.text()) == claim
    assert claim.store == claim.owner.split("/")[0]


@given(st.text())
def test_a_persons_note_in_claim_is_no_claim_and_no_error(note: str) -> None:
    found = claims.parse(note)
    assert found is None or claims.parse(found.text()) == found


def test_a_renewed_lease_is_the_same_hold_and_a_new_generation_is_not() -> None:
    one = Claim(owner="s/h", generation=2, nonce="abcd", lease_until_ms=5)
    assert one.same_hold(Claim(owner="s/h", generation=2, nonce="abcd", lease_until_ms=0))
    assert not one.same_hold(Claim(owner="s/h", generation=3, nonce="abcd", lease_until_ms=5))
    assert not one.same_hold(None)


# ── order and routing ─────────────────────────────────────────────────────────────────────────────────


def test_AT_23_priority_then_due_then_age_so_that_old_work_goes_first() -> None:
    old = datetime(2026, 1, 1, tzinfo=UTC)

    def one(name: str, **more) -> Task:
        return sample_task(title=name, **{"created": old, **more})

    tasks = [
        one("newer", created=old + timedelta(days=1)),
        one("second in its minute", number=8),
        one("first in its minute", number=7),
        one("due", due=old, created=old + timedelta(days=9)),
        one("low", priority=Priority.LOW, due=old),
        one("critical", priority=Priority.CRITICAL, created=old + timedelta(days=30)),
    ]
    assert [t.title for t in sorted(tasks, key=order.key)] == [
        "critical",
        "due",
        "first in its minute",
        "second in its minute",
        "newer",
        "low",
    ]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Critical", 0),
        ("p1", 1),
        ("", 2),
        (None, 2),
        ("low", 3),
        (3, 3),
        ("P9", None),
        ("soon", None),
        (1.5, None),
    ],
)
def test_priorities_in_every_spelling(said, meant) -> None:
    found = Priority.parse(said)
    assert (None if found is None else int(found)) == meant


def test_AT_21_rules_match_whole_words_only() -> None:
    rules = [Rule(handler="music-sync", field="title", words=("sync", "track"))]
    assert route(sample_task(title="Fix DriveSheetsSync"), rules, ["handoff"]).handler == ""
    assert route(sample_task(title="Sync: the track"), rules, ["handoff"]).handler == "music-sync"
    found = route(sample_task(title="a sync, please", handler="report"), rules, ["handoff"])
    assert found == Route(handler="report", because="the Handler property")
    assert route(sample_task(agents=("Cursor",)), (), ["handoff"]).handler == "handoff"
    assert route(sample_task(agents=("Cursor",)), (), []).handler == ""


# ── dispatch gates ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.READY] + [None])
def test_AT_4_only_ready_is_dispatched(status: Status | None) -> None:
    assert say(sample_task(status=status)).gate == "status"


def test_every_gate_says_what_would_change_it() -> None:
    past = datetime(1970, 1, 1, tzinfo=UTC)
    cases = {
        "status": say(sample_task(status=Status.DRAFT)),
        "running": say(sample_task(), active={"a" * 32: "r"}),
        "claim": say(sample_task(), foreign={"a" * 32: "s2/h"}),
        "route": say(sample_task(), route=Route(handler="", because="nothing")),
        "handler": say(sample_task(), route=Route(handler="nope", because="")),
        "breaker": say(
            sample_task(),
            handlers={"h": HandlerFacts(name="h", paused_until=2000.0, paused_why="3 failures")},
        ),
        "host": say(sample_task(), here=frozenset({"other"})),
        "parameters": say(sample_task(), param_errors={"a" * 32: "n is no number"}),
        "prerequisites": say(sample_task(after=("b" * 32,))),
        "due": say(sample_task(due=past), handlers={"h": HandlerFacts(name="h", refuses_past_due=True)}),
        "backoff": say(sample_task(), retry_at={"a" * 32: (2000.0, "tries again")}),
    }
    for gate, decision in cases.items():
        assert decision.gate == gate
        assert decision.verdict is not Call.DISPATCH and decision.reason and decision.would_change
    assert say(sample_task()).verdict is Call.DISPATCH


def test_since_is_kept_while_the_same_gate_holds() -> None:
    task = sample_task(after=("b" * 32,))
    first = decide(task, ROUTED, known(), {})
    again = decide(task, ROUTED, known(now=2000.0), {task.id: (first.gate, first.since)})
    assert again.since == first.since == 1000.0
    other = decide(task, ROUTED, known(now=2000.0), {task.id: ("backoff", 5.0)})
    assert other.since == 2000.0


def test_an_unreadable_prerequisite_fails_closed_and_is_named() -> None:
    said = say(sample_task(after=("b" * 32,)), unmet={"b" * 32: "not readable: not_found"})
    assert said.verdict is Call.HOLD and f"{'b' * 32} (not readable: not_found)" in said.reason
    assert say(sample_task(after=("b" * 32,)), completed=frozenset({"b" * 32})).verdict is Call.DISPATCH


def test_a_queued_task_knows_its_place() -> None:
    said = queued(say(sample_task()), 3, 2, 1030.0)
    assert said.gate == "capacity" and "3 tasks are ahead" in said.reason and not said.on_page


# ── completion gates ──────────────────────────────────────────────────────────────────────────────────


def fact(gate: str, ok: bool | None, at: float = 10.0, **data) -> Evidence:
    return Evidence(gate=gate, kind="file", subject=str(data or at), ok=ok, data=data, at=at)


NEED = (Gate(name="a", title="A"), Gate(name="b", title="B"), Gate(name="c", title="C", required=False))


def test_RP_1_a_gate_without_evidence_is_unknown_never_passed() -> None:
    judged = judge(NEED, [], started=0.0)
    assert [j.result for j in judged] == [GateResult.UNKNOWN] * 3
    assert verdict(judged) is Verdict.FAILED
    assert verdict([]) is Verdict.FAILED


def test_RP_2_evidence_older_than_the_run_proves_nothing() -> None:
    (first, *_) = judge(NEED, [fact("a", True, at=1.0)], started=5.0)
    assert first.result is GateResult.UNKNOWN and "older than the run" in first.why


@given(st.lists(st.tuples(st.sampled_from("abcz"), st.sampled_from([True, False, None])), max_size=20))
def test_success_means_every_required_gate_passed(facts: list[tuple[str, bool | None]]) -> None:
    items = [fact(g, ok, at=10.0 + i) for i, (g, ok) in enumerate(facts)]
    judged = judge(NEED, items, started=0.0)
    by_name = {j.name: j for j in judged}
    proved = {
        g: any(e.ok for e in items if e.gate == g) and not any(e.ok is False for e in items if e.gate == g)
        for g in "ab"
    }
    assert (verdict(judged) is Verdict.SUCCESS) == all(proved.values())
    assert {g: by_name[g].result is GateResult.PASSED for g in "ab"} == proved
    assert ("z" in by_name) == any(e.gate == "z" for e in items), "nothing measured is hidden"


def test_a_gate_that_does_not_apply_is_said_to_and_does_not_count() -> None:
    judged = judge(NEED, [fact("a", True)], started=0.0, skipped=["b"])
    assert judged[1].result is GateResult.NOT_APPLICABLE
    assert verdict(judged) is Verdict.SUCCESS


def test_files_are_listed_once() -> None:
    items = [
        fact("a", True, path="/x", sha256="1", bytes=5),
        fact("b", True, path="/x"),
        fact("a", False, path="/y"),
    ]
    assert files_of(items) == [{"path": "/x", "sha256": "1", "bytes": 5}]


# ── snapshot ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_snapshot_never_shows_a_task_as_ready_that_we_have_taken_or_ended() -> None:
    from daemon.core.snapshot import Snapshot, brought_up

    tasks = tuple(sample_task(id=c * 32) for c in "abcd")
    said = {t.id: say(t) for t in tasks}
    seen = Snapshot(
        started_at=0.0, at=11.0, looked_at=10.0, board_error="", next_tick=None, board=None, tasks=tasks,
        decisions=said,
    )  # fmt: skip
    latest = {
        "a" * 32: (RunState.COMPLETED, 12.0),
        "b" * 32: (RunState.RUNNING, 12.0),
        "c" * 32: (RunState.FAILED, 5.0),  # ended before the look: Ready again by a person
        "d" * 32: (RunState.RETRYING, 12.0),
    }
    now = brought_up(seen, latest)
    assert [(t.id[0], t.status) for t in now.tasks] == [
        ("b", Status.IN_PROGRESS),
        ("c", Status.READY),
        ("d", Status.READY),
    ]
    assert {i[0] for i in now.decisions} == {"c"}


# ── endings ───────────────────────────────────────────────────────────────────────────────────────────


def end(outcome, judged=(), attempt=1):
    return ending(outcome, judged, attempt=attempt, backoff=Backoff(), rng=lambda: 0.5)


@given(st.lists(st.sampled_from(GateResult), min_size=0, max_size=6))
def test_completed_only_with_all_required_gates_passed(results: list[GateResult]) -> None:
    from daemon.core.evidence import Judged

    judged = [
        Judged(name=str(i), title="", group="", required=True, result=r, why="w", evidence=())
        for i, r in enumerate(results)
    ]
    made = end(Done(summary="s"), judged)
    counted = [r for r in results if r is not GateResult.NOT_APPLICABLE]
    proved = bool(counted) and all(r is GateResult.PASSED for r in counted)
    assert (made.status is Status.COMPLETED) == proved
    assert proved or made.why.startswith("not proved: ")


@pytest.mark.parametrize(
    ("eagle", "tags", "state"),
    [
        (GateResult.FAILED, GateResult.PASSED, RunState.RETRYING),
        (GateResult.FAILED, GateResult.FAILED, RunState.REVIEW),
        (GateResult.PASSED, GateResult.FAILED, RunState.REVIEW),
        (GateResult.PASSED, GateResult.PASSED, RunState.COMPLETED),
    ],
)
def test_only_what_is_awaited_may_be_missing_in_a_partial_end(
    eagle: GateResult, tags: GateResult, state: RunState
) -> None:
    from daemon.core.evidence import Judged

    results = {"files": GateResult.PASSED, "eagle": eagle, "tags": tags}
    judged = [
        Judged(name=n, title="", group="", required=True, result=r, why="w", evidence=())
        for n, r in results.items()
    ]
    made = end(Done(summary="s", awaits=("eagle",), again=60.0), judged)
    assert (made.state, made.retry_in) == (state, 60.0 if state is RunState.RETRYING else None)
    assert made.counts == (state is not RunState.RETRYING)


def test_the_last_failure_is_final_now() -> None:
    first, last = end(Retry(reason="busy")), end(Retry(reason="busy"), attempt=3)
    assert (first.state, first.status, first.retry_in) == (RunState.RETRYING, Status.READY, 7.5)
    assert (last.state, last.status, last.retry_in) == (RunState.FAILED, Status.FAILED, None)
    assert "gave up after 3 attempts" in last.why


def test_a_time_that_the_other_side_named_is_never_cut() -> None:
    assert end(Retry(reason="x", after=86_400.0)).retry_in == 86_400.0


def test_snooze_and_cancel_use_up_no_attempt() -> None:
    assert not end(Snooze(reason="x", after=5)).counts
    gone = end(Cancelled(reason="x"))
    assert not gone.counts and gone.status is None


@given(st.integers(1, 10), st.floats(0, 0.999))
def test_backoff_grows_within_its_bounds(attempt: int, luck: float) -> None:
    policy = Backoff(first=10, ceiling=300, attempts=11)
    wait = policy.delay(attempt, lambda: luck)
    assert wait is not None and min(300, 10 * 2 ** (attempt - 1)) / 2 <= wait <= min(
        300, 10 * 2 ** (attempt - 1)
    )
