"""The store as a run has it: what can't be kept now is kept later.

A run that could not write down a step while the disk is full, or the database restarts, has not failed: the
whole run waits, as DBOS does with what it keeps itself, and goes on where it stands. Every method of the
store is one transaction, and doing it twice changes nothing more; so it is simply done again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from daemon.core.errors import TransientError
from daemon.store import Store

AGAIN_S = 2.0
"""Between two tries."""


class _Patient:
    def __init__(self, store: Store, wait: Callable[[TransientError], None]) -> None:
        self._store = store
        self._wait = wait

    def __getattr__(self, name: str) -> Any:
        if not callable(found := getattr(self._store, name)):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            while True:
                try:
                    return getattr(self._store, name)(*args, **kwargs)
                except TransientError as error:
                    self._wait(error)

        return call


def patient(store: Store, wait: Callable[[TransientError], None]) -> Store:
    """``store``, whose methods call ``wait`` and try again instead of raising TransientError."""
    return cast(Store, _Patient(store, wait))
