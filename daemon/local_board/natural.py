"""The order of texts: numbers inside a text compare as numbers ("Article 4" before "Article 10").
Recorded.
"""

from __future__ import annotations

import re

_TOKENS = re.compile(r"[0-9]+|[^0-9]+")
_LIMIT = 200
"""Characters of a text that take part in sorting.  Longer common beginnings tie; it keeps the sort column
small.
"""


def natural_key(text: str) -> str:
    """A string whose binary order is the natural, case-insensitive order of the texts.

    Digits become "0", the count of their digits, the digits; other runs become "1", the run in lower case
    and a separator below every printable character, so that "a" sorts before "ab" and numbers before
    letters.
    """
    parts = []
    for token in _TOKENS.findall(text[:_LIMIT]):
        if token[0] in "0123456789":
            digits = token.lstrip("0") or "0"
            parts.append(f"0{len(digits):03d}{digits}")
        else:
            parts.append(f"1{token.lower()}\x01")
    return "".join(parts)
