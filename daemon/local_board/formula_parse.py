"""Formula expressions to a tree.

The language is the product's: literals, lists, + - * / % ^, comparisons, and/or/not (also && || !), ?:,
function calls, and calls with a dot (`a.f(b)` is `f(a, b)`).  Properties stand as the references by id
that are stored.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

_TOKEN = re.compile(
    r"""\s+ | /\*.*?\*/
      | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<prop>\{\{notion:block_property:(?P<prop_id>[^:}]+):[^}]*\}\})
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<sign>==|!=|>=|<=|&&|\|\||[-+*/%^<>!?:.,()\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t"}
_DEPTH_LIMIT = 200
"""Nesting of an expression; deeper ones are refused rather than exhausting the stack."""


class FormulaError(Exception):
    """The expression cannot be read, or names a function that does not exist."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: what it is, its name or value, and its operands."""

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()


def _tokens(text: str) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FormulaError(f"unexpected character {text[at]!r}")
        at = match.end()
        for kind in ("number", "string", "prop", "name", "sign"):
            if match.group(kind) is not None:
                out.append((kind, match.group("prop_id") if kind == "prop" else match.group(kind)))
                break
    out.append(("end", ""))
    return out


_BINARY = {
    "or": 1, "||": 1, "and": 2, "&&": 2, "==": 3, "!=": 3, ">": 4, "<": 4, ">=": 4, "<=": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "^": 8,
}  # fmt: skip
_SAME = {"||": "or", "&&": "and"}
_UNARY_POWER = 7


class _Parser:
    def __init__(self, text: str) -> None:
        # The product shows some expressions with a leading "=".
        self.tokens = _tokens(text.strip().removeprefix("="))
        self.at = 0
        self.depth = 0

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def text(self) -> str:
        return self.tokens[self.at][1]

    def take(self, sign: str) -> None:
        if self.kind == "string" or self.text != sign:
            raise FormulaError(f"expected {sign!r} and found {self.text or 'the end'!r}")
        self.at += 1

    def has(self, sign: str) -> bool:
        if self.kind == "sign" and self.text == sign:
            self.at += 1
            return True
        return False

    def expression(self, power: int = 0) -> Node:
        self.depth += 1
        if self.depth > _DEPTH_LIMIT:
            raise FormulaError("the expression is nested too deeply")
        left = self.unary()
        while self.kind in ("sign", "name") and self.text in _BINARY and _BINARY[self.text] > power:
            sign = self.text
            self.at += 1
            # ^ groups to the right, everything else to the left.
            right = self.expression(_BINARY[sign] - (1 if sign == "^" else 0))
            left = Node("binary", _SAME.get(sign, sign), (left, right))
        if power == 0 and self.has("?"):
            yes = self.expression()
            self.take(":")
            left = Node("call", "if", (left, yes, self.expression()))
        self.depth -= 1
        return left

    def unary(self) -> Node:
        if self.has("-"):
            return Node("unary", "-", (self.expression(_UNARY_POWER),))
        if self.has("!") or (self.kind == "name" and self.text == "not" and not self.next_is("(")):
            if self.kind == "name" and self.text == "not":
                self.at += 1
            return Node("unary", "not", (self.expression(_UNARY_POWER),))
        return self.postfix(self.primary())

    def next_is(self, sign: str) -> bool:
        return self.tokens[self.at + 1] == ("sign", sign)

    def postfix(self, node: Node) -> Node:
        while self.has("."):
            name = self.text
            if self.kind != "name":
                raise FormulaError(f"expected a function name and found {name!r}")
            self.at += 1
            arguments = self.arguments() if self.kind == "sign" and self.text == "(" else ()
            node = Node("call", name, (node, *arguments))
        return node

    def arguments(self) -> tuple[Node, ...]:
        self.take("(")
        out = []
        while not self.has(")"):
            out.append(self.expression())
            if not (self.kind == "sign" and self.text == ")"):
                self.take(",")
        return tuple(out)

    def primary(self) -> Node:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            value = float(text)
            return Node("literal", int(value) if value.is_integer() else value)
        if kind == "string":
            return Node(
                "literal", re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), text[1:-1])
            )
        if kind == "prop":
            return Node("property", unquote(text))
        if kind == "name":
            if text in ("true", "false"):
                return Node("literal", text == "true")
            if self.kind == "sign" and self.text == "(":
                return Node("call", text, self.arguments())
            return Node("name", text)
        if text == "(":
            node = self.expression()
            self.take(")")
            return node
        if text == "[":
            items = []
            while not self.has("]"):
                items.append(self.expression())
                if not (self.kind == "sign" and self.text == "]"):
                    self.take(",")
            return Node("list", None, tuple(items))
        raise FormulaError(f"unexpected {text or 'end of the expression'!r}")


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Node:
    """The tree of an expression.  An empty expression is an empty text."""
    if not text.strip():
        return Node("literal", "")
    parser = _Parser(text)
    node = parser.expression()
    if parser.kind != "end":
        raise FormulaError(f"unexpected {parser.text!r}")
    return node
