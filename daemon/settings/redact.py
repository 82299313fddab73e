"""Takes secrets out of text by value and by pattern: for logs, reports, packets and messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from daemon.settings.secrets import MASK

SHORTEST = 6
"""Shorter values are not looked for in running text: masking them would eat ordinary words."""

_SECRET_KEY = re.compile(
    r"(?i)(?:^|[_\-.])(?:token|secret|password|passwd|authorization|api[_-]?key|cookie)s?$"
)
_PATTERNS = (
    (re.compile(r"\b(?:ntn_|secret_)[A-Za-z0-9]{16,}"), MASK),  # Notion's integration tokens, both forms
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(r"(?i)([?&](?:[a-z_-]*token|code|client_secret|api_?key|signature|sig)=)[^&\s\"'#]+"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@"), rf"\1:{MASK}@"),
)


class Redactor:
    """Knows the secrets of this process. Safe to use from several threads; ``learn`` adds values later."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Hide these too. Old values stay hidden: a rotated token is still in old texts."""
        self._values |= {v for v in values if len(v) >= SHORTEST}
        spellings = {s for v in self._values for s in (v, quote(v, safe=""))}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if spellings else None

    def text(self, text: str) -> str:
        """The text with every secret replaced by ``***``."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, mask in _PATTERNS:
            text = pattern.sub(mask, text)
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """The same for JSON-like values, deeply; a value whose key names a secret is masked whole."""
        if key and value not in (None, "") and isinstance(value, str | bytes) and _SECRET_KEY.search(key):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "replace"))
        if isinstance(value, Mapping):
            return {self.value(k): self.value(v, k if isinstance(k, str) else "") for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(v, key) for v in value]
        return value
