"""Is this packet fit to be delivered? Hard findings stop it and go on the page; soft ones lower the score.

From research/dispatch.md §4.2: a recipient must be able to continue without asking back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from handlers.handoff import fence
from handlers.handoff.compile import epoch
from handlers.handoff.model import Packet

MAX_TEXT_BYTES = 1024 * 1024
_VAGUE = re.compile(r"\b(?:improve|handle|optimi[sz]e|clean ?up|look into|deal with|etc)\b", re.I)


class Lint(msgspec.Struct, frozen=True, kw_only=True):
    """``hard``: what is missing, in words for the page. ``score``: 0 to 100."""

    hard: tuple[str, ...]
    soft: tuple[str, ...]
    score: int


def lint(
    doc: Packet, problems: Sequence[str], now: float, text_bytes: int, open_titles: Sequence[str]
) -> Lint:
    """Judge a compiled packet. ``problems``: what binding found; ``open_titles``: other unfinished tasks."""
    hard = [*problems, *_hard(doc, now, text_bytes)]
    soft = _soft(doc, open_titles)
    score = 0 if hard else max(0, 100 - 12 * len(soft))
    return Lint(hard=tuple(hard), soft=tuple(soft), score=score)


def _hard(doc: Packet, now: float, text_bytes: int) -> list[str]:
    asked = "\n".join([doc.title, doc.next_step, *(c.text for c in doc.acceptance)])
    text = "\n".join([asked, doc.description, doc.next_command])
    found = []
    if not doc.acceptance:
        found.append("no acceptance criterion: write at least one line in Success Criteria")
    elif not any(c.required for c in doc.acceptance):
        found.append("every criterion is optional: leave at least one required")
    if not doc.title.strip():
        found.append("the task has no title")
    if left := fence.placeholder(asked):
        found.append(f"an unfilled placeholder is in the text: {left}")
    if kind := fence.secret(text):
        found.append(f"the text seems to hold {kind}: take it out and revoke it")
    if doc.due and epoch(doc.due) < now:
        found.append(f"the target date {doc.due} has passed")
    if text_bytes > MAX_TEXT_BYTES:
        found.append(f"{text_bytes:,} bytes of text: at most {MAX_TEXT_BYTES:,}")
    if doc.idempotency_key != doc.run or doc.run != f"{doc.task_id}.g{doc.claim_generation}":
        found.append("the ids of task, run and generation do not agree")
    return found


def _soft(doc: Packet, open_titles: Sequence[str]) -> list[str]:
    found = []
    if vague := _VAGUE.search(doc.title + "\n" + doc.next_step):
        found.append(f"vague word: “{vague.group(0)}”")
    if not doc.non_goals:
        found.append("no non_goals")
    if not doc.next_command and not doc.next_step:
        found.append("neither a next step nor a next_command")
    if len(doc.acceptance) > 7:
        found.append(f"{len(doc.acceptance)} criteria: split the task")
    if all(c.kind == "human" for c in doc.acceptance):
        found.append("no criterion has a check: the best outcome is Review")
    if doc.attempt > 1 and not doc.prior_attempts:
        found.append("a later attempt without a word on the earlier ones")
    if doc.description_cut:
        found.append("the description was cut at 64 KiB")
    if doc.flags:
        found.append("text that reads like orders to an agent: " + ", ".join(doc.flags))
    if doc.hidden_characters:
        found.append(f"{doc.hidden_characters} invisible characters")
    if twin := next((t for t in open_titles if similar(t, doc.title) >= 0.8), ""):
        found.append(f"much like another open task: “{twin[:80]}”")
    return found


def similar(one: str, other: str) -> float:
    """Jaccard similarity of the two titles' words, 0 to 1."""
    a, b = set(re.findall(r"\w+", one.casefold())), set(re.findall(r"\w+", other.casefold()))
    return len(a & b) / len(a | b) if a | b else 0.0
