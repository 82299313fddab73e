"""Music: the right upload among candidates, beside the first hit, a score and spotDL's own scorer.

Two corpora made by rules, with fixed seeds: the tests' own, and one that was written apart and held out. Each
way sees the same candidates; a wrong pick is an upload that the rule did not make as the wanted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rapidfuzz import fuzz

from benchmarks.peers import NoPeer, Peers
from handlers.music.resolve import Candidate, Wanted, choose
from tests.music import resolver_corpus, resolver_heldout

CASES = 1500
WRONG_MOST, REFUSED_MOST = 0.5, 10.0
"""Per cent."""

Row = dict[str, object]
Pick = Callable[[Wanted, Sequence[Candidate]], str]
"""The URL that is taken, "" = none."""


class Case(Protocol):
    """What both corpora give."""

    @property
    def wanted(self) -> Wanted: ...
    @property
    def candidates(self) -> tuple[Candidate, ...]: ...
    @property
    def right(self) -> frozenset[str]: ...


def ours(wanted: Wanted, candidates: Sequence[Candidate]) -> str:
    """Hard gates; a refusal is an answer."""
    chosen = choose(wanted, candidates).chosen
    return chosen.url if chosen else ""


def first(wanted: Wanted, candidates: Sequence[Candidate]) -> str:
    """The first hit, in the random order of the corpus."""
    return candidates[0].url


def score(wanted: Wanted, candidates: Sequence[Candidate]) -> str:
    """The best by words in any order, two parts, and length, one part; no gates."""
    target = f"{wanted.artist} {wanted.title}".lower()

    def value(hit: Candidate) -> float:
        spelled = (hit.title.lower(), f"{hit.artist} {hit.title}".lower())
        words = max(fuzz.token_sort_ratio(target, s) for s in spelled)
        known = wanted.duration_s is not None and hit.duration_s is not None
        off = abs((wanted.duration_s or 0.0) - (hit.duration_s or 0.0)) if known else math.inf
        return (2 * words + 100 * math.exp(-0.1 * off)) / 3

    return max(candidates, key=value).url


def counted(corpus: Sequence[Case], picks: Sequence[str]) -> tuple[float, float]:
    """Wrong picks in per cent of the cases; refusals in per cent of those where it was there."""
    wrong = sum(bool(p) and p not in c.right for c, p in zip(corpus, picks, strict=True))
    there = [p for c, p in zip(corpus, picks, strict=True) if c.right]
    return 100 * wrong / len(corpus), 100 * there.count("") / len(there)


def picked(corpus: Sequence[Case], pick: Pick) -> list[str]:
    """One choice for each case."""
    return [pick(c.wanted, c.candidates) for c in corpus]


def spotdl(peers: Peers, corpus: Sequence[Case]) -> tuple[list[str], float]:
    """What spotDL's scorer takes, the best of what it does not drop; CPU seconds of all."""
    asked = [
        {
            "artist": c.wanted.artist,
            "title": c.wanted.title,
            "seconds": c.wanted.duration_s,
            "hits": [[h.url, h.title, h.artist, h.duration_s, h.official] for h in c.candidates],
        }
        for c in corpus
    ]
    answer = peers.ask("spotdl_match", cases=asked)
    return answer["answers"], answer["cpu"]


def corpus_rows(name: str, corpus: Sequence[Case], peers: Peers | None) -> list[Row]:
    """One corpus: wrong picks beside each other way, refusals, time."""
    began = time.process_time()
    picks = picked(corpus, ours)
    cpu = time.process_time() - began
    wrong, refused = counted(corpus, picks)
    others: dict[str, list[str]] = {"first hit": picked(corpus, first), "score only": picked(corpus, score)}
    ways = [(way, *counted(corpus, taken)) for way, taken in others.items()]
    pace: Row = {"name": f"{name}: CPU a case", "ours": 1000 * cpu / len(corpus), "unit": "ms"}
    if peers is not None:
        taken, theirs = spotdl(peers, corpus)
        version = peers.versions["spotdl"]
        ways.append((f"spotDL {version} scorer", *counted(corpus, taken)))
        pace |= {"peer": 1000 * theirs / len(corpus), "peer_name": f"spotDL {version} scorer"}
    limit: Row = {"limit": f"≤ {WRONG_MOST} %", "held": wrong <= WRONG_MOST}
    out: list[Row] = []
    for way, bad, missed in ways:
        fact: Row = {
            "name": f"{name}: wrong picks",
            "ours": wrong,
            "unit": "%",
            "peer": bad,
            "peer_name": way,
        }
        out.append(fact | limit | {"note": f"the other refuses {missed:.1f} % of what is there"})
        limit = {}
    gone: Row = {"name": f"{name}: refused though it was there", "ours": refused, "unit": "%"}
    gone |= {"limit": f"≤ {REFUSED_MOST:g} %", "held": refused <= REFUSED_MOST}
    return [*out, gone, pace]


def rows() -> list[Row]:
    """The table of this room."""
    corpora: dict[str, Sequence[Case]] = {
        f"resolver, {CASES} cases": resolver_corpus.cases(CASES, seed=12),
        f"resolver, {CASES} held-out cases": resolver_heldout.cases(CASES, seed=21),
    }
    try:
        with Peers() as peers:
            return [row for name, corpus in corpora.items() for row in corpus_rows(name, corpus, peers)]
    except NoPeer as error:
        out = [row for name, corpus in corpora.items() for row in corpus_rows(name, corpus, None)]
        return [*out, {"name": "spotDL's scorer", "ours": "not measured", "note": str(error)}]
