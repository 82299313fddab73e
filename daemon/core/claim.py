"""The page's Claim text: who runs the task. A mirror for people that carries the generation.

Format (contract.md §3): ``owner generation nonce lease_until_ms``. The owner holds the store's id and the
host's name, so that two stores on one board notice each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OWNER = re.compile(r"[A-Za-z0-9._/-]{1,80}")
_NONCE = re.compile(r"[A-Za-z0-9]{4,64}")
_OVER = re.compile(r"[0-9a-f]+o(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim. ``lease_until_ms`` is epoch milliseconds; 0 = ended (the generation stays as memory)."""

    owner: str
    generation: int
    nonce: str
    lease_until_ms: int

    def __post_init__(self) -> None:
        if not _OWNER.fullmatch(self.owner) or not _NONCE.fullmatch(self.nonce):
            raise ValueError(f"claim owner or nonce has characters that can't be written: {self!r}")

    def text(self) -> str:
        """As it stands on the page."""
        return f"{self.owner} {self.generation} {self.nonce} {self.lease_until_ms}"

    @property
    def store(self) -> str:
        """Id of the store that made the claim: the owner up to its first slash."""
        return self.owner.split("/", 1)[0]

    @property
    def base(self) -> int:
        """The generation that stood on the page when this claim was decided on, 0 = none. A claim that is to
        be verified tells it at the end of its nonce; of others it is taken to be the one before."""
        said = _OVER.fullmatch(self.nonce)
        return int(said[1]) if said else self.generation - 1

    def same_hold(self, other: Claim | None) -> bool:
        """True when ``other`` is this very claim, whatever its lease says now."""
        return other is not None and (self.owner, self.generation, self.nonce) == (
            other.owner,
            other.generation,
            other.nonce,
        )


def base_of(claim: Claim | None) -> int:
    """The ``base`` of what is decided on a page with this claim."""
    return claim.generation if claim else 0


def over(nonce: str, claim: Claim | None) -> str:
    """A nonce (hex) that also tells the base: the generation of ``claim``, which stands on the page."""
    return f"{nonce}o{base_of(claim)}"


def void(other: Claim, proved: Claim) -> bool:
    """Whether ``other``, found on the page after ``proved`` was read back there, counts for nobody: it is
    another hold, and was decided on before ``proved`` stood there (docs/claims.md has the argument)."""
    return not proved.same_hold(other) and other.base < proved.generation


SETTLE = "settle"
"""The arrival with which a run's workflow begins when its claim is to be read back first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How a claim is proved by daemons that share a board and no store (docs/claims.md). Seconds.

    A claim counts when its daemon knows, within ``in_time`` of asking for the page, that it stands there, and
    reads ``settle`` later that it still does. All daemons of a board need the same values.
    """

    settle: float
    call_timeout: float

    @property
    def in_time(self) -> float:
        """Half-way between the two: a rival that may still land does so before anybody's read-back."""
        return (self.settle + self.call_timeout) / 2


def parse(text: str) -> Claim | None:
    """The claim in a page's text; None when it is empty or not one (a person's note, say)."""
    parts = text.split()
    if len(parts) != 4 or not parts[1].isdecimal() or not parts[3].isdecimal():
        return None
    try:
        return Claim(owner=parts[0], generation=int(parts[1]), nonce=parts[2], lease_until_ms=int(parts[3]))
    except ValueError:
        return None
