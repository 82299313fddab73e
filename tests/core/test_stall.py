"""Two signs of life: one that is there is enough to live."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.stall import stalled, used

TIMES = st.floats(0, 1e6)


@given(TIMES, TIMES, st.floats(1, 1e4))
def test_only_when_both_are_missing_for_the_whole_limit(work: float, process: float, limit: float) -> None:
    now = 1e6
    said = stalled(now=now, work_at=work, process_at=process, limit=limit)
    assert bool(said) == (now - work >= limit and now - process >= limit)
    if said:
        assert "no step and no progress" in said and "no output and no CPU time" in said


def test_without_the_second_sign_or_a_limit_nothing_is_said() -> None:
    assert stalled(now=1e6, work_at=0, process_at=None, limit=1) == ""
    assert stalled(now=1e6, work_at=0, process_at=0, limit=0) == ""


def test_what_counts_as_use_of_the_cpu() -> None:
    assert not used(1.0, 1.05, 10.0) and used(1.0, 1.11, 10.0)
    assert not used(1.0, 1.01, 0.1), "one tick of the kernel's clock is noise"
    assert used(5.0, 1.0, 10.0), "a process of the group has ended"
