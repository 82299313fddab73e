"""Page text inside a handoff: fenced, marked on every line, nothing invisible (threats T28–T30, T35).

Datamarking each line and a random fence cut attack success of injected orders from over half to under 2 % in
published measurements (research/reliability.md §2.3); a fence alone does less. It is still only text: the
daemon never runs, formats or resolves any of it.
"""

from __future__ import annotations

import re
import unicodedata

from daemon.core.text import visible

MARK = "| "
BODY_BYTES = 64 * 1024
"""Longer text is cut with a mark and the page's address."""

_ORDERS = (
    (
        "ignore previous instructions",
        re.compile(r"\b(?:ignore|disregard|forget)\b[^.\n]{0,40}\binstructions?\b", re.I),
    ),
    ("role marker", re.compile(r"^\s*(?:system|assistant|developer)\s*:", re.I | re.M)),
    (
        "chat markup",
        re.compile(r"<\|(?:im_start|im_end|system|user|assistant)\|>|</?(?:system|task|untrusted)>", re.I),
    ),
    ("pipe to a shell", re.compile(r"\b(?:curl|wget)\b[^\n]{0,200}\|\s*(?:ba|z|da)?sh\b", re.I)),
    (
        "asks for secrets",
        re.compile(
            r"\b(?:print|send|post|exfiltrate|reveal)\b[^.\n]{0,60}"
            r"\b(?:tokens?|secrets?|passwords?|api keys?|env)\b",
            re.I,
        ),
    ),
    (
        "says it is done",
        re.compile(r"\b(?:mark|set|report)\b[^.\n]{0,40}\b(?:as )?(?:completed?|done|passed)\b", re.I),
    ),
)

_SECRETS = (
    ("a Notion token", re.compile(r"\b(?:ntn|secret)_[A-Za-z0-9]{30,}")),
    ("a GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{40,}")),
    ("an AWS key", re.compile(r"\bAKIA[A-Z0-9]{16}\b")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")),
)

_PLACEHOLDERS = re.compile(
    r"\{\{[^{}\n]{0,60}\}\}|\$\{[A-Za-z_][A-Za-z0-9_]{0,40}\}|\bTO_BE_CREATED\b|<(?:TODO|TBD|PLACEHOLDER)>|\bTBD\b"
)


def hidden_characters(text: str) -> int:
    """How many characters a reader can't see: controls, format and bidi marks, tags, lone surrogates."""
    return sum(
        1 for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    )


def flags(text: str) -> list[str]:
    """Phrases that read like orders to an agent."""
    return [name for name, pattern in _ORDERS if pattern.search(text)]


def secret(text: str) -> str:
    """What secret the text seems to hold, or ""."""
    return next((name for name, pattern in _SECRETS if pattern.search(text)), "")


def placeholder(text: str) -> str:
    """The first unfilled placeholder, or ""."""
    match = _PLACEHOLDERS.search(text)
    return match.group(0) if match else ""


def cut(text: str, limit: int = BODY_BYTES) -> tuple[str, bool]:
    """At most ``limit`` bytes of UTF-8, whole characters; True when something was left out."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= limit:
        return text, False
    return data[:limit].decode("utf-8", "ignore"), True


def marked(text: str) -> str:
    """Every line visible and prefixed with the data mark."""
    shown = visible(text.replace("\r\n", "\n").replace("\r", "\n"))
    return "\n".join(MARK + line for line in shown.split("\n"))


def fenced(text: str, nonce: str) -> str:
    """``text`` marked, between two lines that only this file has. ValueError when the nonce is in it."""
    if nonce in text:
        raise ValueError("the nonce is in the text: draw another")
    return f"<<<page-text {nonce}\n{marked(text)}\npage-text {nonce}>>>"
