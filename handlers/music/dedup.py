"""What a match in the index means for a run. Pure decision over measured facts.

A strong id decides alone. A near match never deletes, merges or overwrites: the sound decides where both
files can be heard, and where it can't say, a person does.
"""

from __future__ import annotations

from dataclasses import dataclass

from handlers.music.library import Match
from handlers.music.sound import DOUBT, SAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """``call``: new | same | review. ``why`` is a sentence."""

    call: str
    why: str


def rule(match: Match | None, *, same_samples: bool, error_rate: float | None, keep: bool) -> Ruling:
    """``same_samples``: both decode to equal samples. ``error_rate``: of the fingerprints, None = not told.

    ``keep``: the task says that what can't be told apart by id is to be kept as a track of its own.
    """
    if match is None:
        return Ruling(call="new", why="no track of the library matches")
    if match.certain:
        return Ruling(call="same", why=match.why)
    if same_samples:
        return Ruling(call="same", why=f"{match.why}, and every sample is equal")
    if error_rate is not None and error_rate >= DOUBT:
        return Ruling(
            call="new", why=f"{match.why}, but it sounds different (bit error rate {error_rate:.2f})"
        )
    if error_rate is not None and error_rate < SAME:
        return Ruling(
            call="same", why=f"{match.why}, and it sounds the same (bit error rate {error_rate:.3f})"
        )
    if keep:
        return Ruling(call="new", why=f"{match.why}; kept as a track of its own, as the task says")
    heard = "the sound could not be compared" if error_rate is None else f"bit error rate {error_rate:.2f}"
    return Ruling(call="review", why=f"{match.why}; {heard}")
