"""Who is gone, who may take a task, and what becomes of the work of a host that is gone."""

import pytest

from daemon.core.fleet import Fate, HostFacts, elsewhere, fate, gone, growth, pace, share


def host(name: str, *offers: str, handlers: str = "music report", alive: bool = True) -> HostFacts:
    served = frozenset(handlers.split())
    return HostFacts(name=name, alive=alive, seen=0.0, handlers=served, offers=frozenset(offers))


@pytest.mark.parametrize(
    ("silent", "lock_free", "said"),
    [
        (1, True, False),
        (6, True, False),
        (6.1, True, True),
        (6.1, False, False),
        (20, False, False),
        (20.1, False, True),
    ],
)
def test_a_killed_host_is_gone_after_three_beats_a_frozen_one_after_its_lease(
    silent: float, lock_free: bool, said: bool
) -> None:
    assert gone(silent=silent, lease=20.0, lock_free=lock_free) is said


def test_a_host_takes_what_it_has_all_of() -> None:
    hosts = [host("mac", "volume:music"), host("box")]
    assert elsewhere("report", frozenset(), hosts, "box") is None
    assert elsewhere("music", frozenset({"volume:music"}), hosts, "mac") is None
    said = elsewhere("music", frozenset({"volume:music"}), hosts, "box")
    assert said == ("waits for host mac: music, volume:music is there", "that host takes it", False)


def test_a_host_that_does_not_answer_is_named() -> None:
    hosts = [host("mac", "agent:codex", alive=False), host("box")]
    said = elsewhere("music", frozenset({"agent:codex"}), hosts, "box")
    assert said == (
        "waits for host mac, which does not answer: music, agent:codex is there",
        "mac is back",
        True,
    )


def test_what_no_host_has_is_named() -> None:
    hosts = [host("mac", "agent:a"), host("box", "agent:b")]
    assert elsewhere("music", frozenset({"agent:x"}), hosts, "box")[0] == "no host has agent:x"
    assert elsewhere("other", frozenset(), hosts, "box")[0] == "no host has other"
    both = frozenset({"agent:a", "agent:b"})
    assert elsewhere("music", both, hosts, "box")[0] == "no single host has all of: music, agent:a, agent:b"


def test_a_store_of_one_host_routes_nothing() -> None:
    assert elsewhere("music", frozenset({"agent:x"}), [], "box") is None


@pytest.mark.parametrize(
    ("manner", "able", "waiting", "steps", "takeovers", "said"),
    [
        ("resume", True, False, 3, 0, Fate.RESUME),
        ("resume", False, False, 3, 0, Fate.STAY),
        ("resume", True, False, 3, 3, Fate.ANEW),
        ("anew", True, False, 3, 0, Fate.ANEW),
        ("anew", True, False, 0, 0, Fate.RESUME),
        ("anew", True, True, 3, 0, Fate.RESUME),
        ("stay", True, False, 0, 0, Fate.RESUME),
        ("stay", True, False, 1, 0, Fate.STAY),
        ("stay", True, True, 1, 0, Fate.STAY),
        ("stay", True, True, 0, 5, Fate.STAY),
    ],
)
def test_what_becomes_of_an_attempt(
    manner: str, able: bool, waiting: bool, steps: int, takeovers: int, said: Fate
) -> None:
    fated = fate(takeover=manner, able=able, waiting=waiting, steps_done=steps, takeovers=takeovers)
    assert fated is said


@pytest.mark.parametrize(("limit", "hosts"), [(180, 1), (180, 2), (180, 7), (3, 5), (600, 11)])
def test_the_parts_of_a_budget_are_equal_and_make_up_the_whole(limit: int, hosts: int) -> None:
    parts = [share(limit, hosts=hosts, rank=rank) for rank in range(hosts)]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


def test_nobody_takes_before_another_has_given() -> None:
    assert growth(180, have=0, wanted=90, others=180) == 0
    assert growth(180, have=0, wanted=90, others=100) == 80
    assert growth(180, have=80, wanted=90, others=90) == 90
    assert growth(180, have=80, wanted=90, others=150) == 80, "what it has it keeps"


def test_questions_that_cost_a_row_for_each_host_stay_few_in_a_large_fleet() -> None:
    assert pace(2, 2.0) == pace(100, 2.0) == 2.0
    assert pace(10_000, 2.0) == 200.0
