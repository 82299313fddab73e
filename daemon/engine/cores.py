"""Which cores the programs of a media run may use: one alone uses all, several keep to one each.

A program of threads that hand small pieces to each other (ffmpeg from 6 on) ends sooner over several cores
and uses less CPU time on one. A track alone should end soon; where tracks run side by side the cores are full
anyway, and CPU time is what counts (`make bench`, room music_daemon).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ALL: frozenset[int] = frozenset()
"""Every core that we may use ourselves."""

_SHARED: dict[int, frozenset[int]] = {}
"""Programs under way, by pid, and the cores that each keeps to."""
_LOCK = threading.Lock()


def shares(now: Mapping[int, frozenset[int]], ours: frozenset[int]) -> dict[int, frozenset[int]]:
    """The cores of each program: all while there are two for each, else one that the fewest keep to.

    ``now``: what each keeps to, ALL for one that has just begun. Who keeps to one core stays there.
    """
    if len(ours) < 2 or 2 * len(now) <= len(ours):
        return dict.fromkeys(now, ALL)
    kept = {pid: next(iter(cores)) for pid, cores in now.items() if len(cores) == 1 and cores <= ours}
    for pid in now:
        if pid not in kept:
            kept[pid] = min(sorted(ours), key=list(kept.values()).count)
    return {pid: frozenset({core}) for pid, core in kept.items()}


@contextmanager
def shared(pid: int) -> Iterator[None]:
    """Share the cores with this program as long as the block lasts. Elsewhere than on Linux: no effect."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    _change(pid, begins=True)
    try:
        yield
    finally:
        _change(pid, begins=False)


def _change(pid: int, *, begins: bool) -> None:
    with _LOCK:
        if begins:
            _SHARED[pid] = ALL
        else:
            del _SHARED[pid]
        ours = frozenset(os.sched_getaffinity(0))
        for each, cores in shares(_SHARED, ours).items():
            if cores != _SHARED[each]:
                _SHARED[each] = cores
                _keep(each, cores or ours)


def _keep(pid: int, cores: frozenset[int]) -> None:
    """Every thread of the program; a thread that begins meanwhile has its maker's cores, so look twice."""
    done: set[str] = set()
    for _ in range(3):
        try:
            threads = {entry.name for entry in Path(f"/proc/{pid}/task").iterdir()} - done
        except OSError:
            return  # it has just ended
        for thread in threads:
            # It may have ended, or a container forbids it: the work is the same.
            with suppress(OSError):
                os.sched_setaffinity(int(thread), cores)
        if not threads:
            return
        done |= threads
