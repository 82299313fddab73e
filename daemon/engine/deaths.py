"""A task that brings the daemon down each time must not do so for ever (research/reliability.md T99).

Before a stretch of work begins, that it begins is committed; when it ends, or the daemon stops in good order,
the mark is removed. A mark that is found is a death. Only deaths in a row count in which not one step was
finished: a long run on a machine that loses power now and then goes on.

Who works beside the culprit dies with it. So the last chance is taken alone: what died so often that one more
death is the end runs while no other stretch runs that a death has cut off, whatever that one finished
since (the culprit may well finish steps). Nobody is marked while it waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from daemon.core.errors import PermanentError, TransientError
from daemon.store import Store

WAIT_S = 0.2
"""How often one that waits for its last chance looks whether the daemon stops."""


class Poisonous(PermanentError):
    """The daemon died too often over this work: it is not begun again."""


class Deaths:
    """Counts for the stretches of one daemon. ``limit``: deaths in a row until a stretch is given up."""

    def __init__(
        self,
        store: Store,
        limit: Callable[[], int],
        park: Callable[[], None],
        *,
        plain: Store | None = None,
    ) -> None:
        """``park`` never returns once the daemon stops. ``plain``: the store for who stops it, when ``store``
        waits for a database that is away."""
        self._store = store
        self._plain = plain or store
        self._limit = limit
        self._places = _Places(park)
        self._lock = threading.Lock()
        self._open: set[str] = set()

    @contextmanager
    def counted(self, stretch: str, run: str) -> Iterator[None]:
        """Around the work. ``stretch``: id of its workflow. Raises Poisonous when it is not to begin."""
        died = self._store.deaths(stretch, run)
        if died >= self._limit():
            raise Poisonous(f"the daemon died {died} times in a row over {stretch}")
        with ExitStack() as held:
            if self._store.cut_off(stretch):
                held.enter_context(self._places.taken(alone=died > 0 and died == self._limit() - 1))
            self._store.stretch_began(stretch, run, died)
            with self._lock:
                self._open.add(stretch)
            try:
                yield
            finally:
                self._close(stretch)

    def let_go(self) -> None:
        """The daemon stops in good order: what is cut off now has not died."""
        for stretch in sorted(self._open):
            # A mark that can't be removed now counts as one death more: a start is not worth waiting for.
            with suppress(TransientError):
                self._plain.stretch_ended(stretch)

    def _close(self, stretch: str) -> None:
        with self._lock:
            self._open.discard(stretch)
        self._store.stretch_ended(stretch)


class _Places:
    """Who was cut off and runs again: many together, or one alone. Who must be alone goes first."""

    def __init__(self, park: Callable[[], None]) -> None:
        self._park = park
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._waiting = 0

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """A place, once there is one; ``park`` is called again and again until then."""
        with self._changed:
            self._waiting += alone
        try:
            while not self._enter(alone):
                self._park()
        finally:
            with self._changed:
                self._waiting -= alone
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone = False
                self._changed.notify_all()

    def _enter(self, alone: bool) -> bool:
        with self._changed:
            if self._alone or (self._inside if alone else self._waiting):
                self._changed.wait(WAIT_S)
                return False
            self._inside += 1
            self._alone = alone
            return True
