"""How alike two folded names are. Pure; numbers are never taken for slips of the pen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SLIP = 70.0
"""Similarity (rapidfuzz ratio) of two words from which one may be the other with a slip in it."""
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
"""Without those that are words or names as well."""


def ratio(left: str, right: str) -> float:
    """0–100; equal without spaces is equal (``deadmau 5``)."""
    from rapidfuzz import fuzz

    if not left or not right:
        return 0.0
    if left.replace(" ", "") == right.replace(" ", ""):
        return 100.0
    return float(fuzz.ratio(left, right))


def numbers(words: Iterable[str]) -> list[str]:
    """The numbers among folded words, Roman ones as figures: ``Part II`` and ``Part 3`` are two tracks."""
    return sorted(_ROMAN.get(w, w) for w in words if w in _ROMAN or any(c.isdigit() for c in w))


def similarity(left: Sequence[str], right: Sequence[str]) -> float:
    """Of two runs of words, 0–100: equal but for spaces, or the same words in order with slips in them.

    0 when there is a word more in one of them, another word, or another number: ``Song`` and ``Song II`` are
    nearly the same letters and two tracks.
    """
    if "".join(left) == "".join(right):
        return 100.0
    if len(left) != len(right) or numbers(left) != numbers(right):
        return 0.0
    if not all(_slip(a, b) for a, b in zip(left, right, strict=True)):
        return 0.0
    return ratio(" ".join(left), " ".join(right))


def _slip(left: str, right: str) -> bool:
    return left == right or ratio(left, right) >= SLIP or sorted(left) == sorted(right)
