"""Our tables beside the engine's: runs, steps, decisions, evidence, events, occurrences."""

from daemon.store.database import open_engine
from daemon.store.rows import Event, Occurrence, Run, Step
from daemon.store.store import Store

__all__ = ["Event", "Occurrence", "Run", "Step", "Store", "open_engine"]
