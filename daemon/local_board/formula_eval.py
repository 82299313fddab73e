"""Evaluation of a formula's tree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from daemon.local_board.formula_functions import FUNCTIONS
from daemon.local_board.formula_parse import FormulaError, Node, parse
from daemon.local_board.formula_values import FormulaDate, is_number, number, show, tidy, truth

_LAZY = frozenset(
    {"if", "ifs", "and", "or", "not", "let", "lets", "map", "filter", "some", "every", "find", "findIndex",
     "sort", "count", "ifEmpty", "now", "today"}
)  # fmt: skip


class Evaluation:
    """One formula on one page.

    read: property id to value; now: the board's time; both are asked only when the expression needs them.
    """

    def __init__(self, read: Callable[[str], Any], now_ms: int) -> None:
        self.read = read
        self.now = datetime.fromtimestamp(now_ms // 1000, UTC)

    def value(self, node: Node, names: Mapping[str, Any]) -> Any:
        """The value of a node; names holds `current`, `index` and let-bound names."""
        if node.kind == "literal":
            return node.value
        if node.kind == "property":
            return self.read(node.value)
        if node.kind == "name":
            if node.value in names:
                return names[node.value]
            raise FormulaError(f"Undefined name {node.value}")
        if node.kind == "list":
            return [self.value(part, names) for part in node.parts]
        if node.kind == "unary":
            inner = self.value(node.parts[0], names)
            return not truth(inner) if node.value == "not" else tidy(-number(inner))
        if node.kind == "binary":
            return self.binary(node, names)
        if node.value in _LAZY:
            return self.lazy(node, names)
        arguments = [self.value(part, names) for part in node.parts]
        return FUNCTIONS[node.value](*arguments)

    def binary(self, node: Node, names: Mapping[str, Any]) -> Any:
        """Two operands.  + joins texts as soon as one side is none but a number."""
        sign = node.value
        left = self.value(node.parts[0], names)
        if sign == "and":
            return truth(left) and truth(self.value(node.parts[1], names))
        if sign == "or":
            return truth(left) or truth(self.value(node.parts[1], names))
        right = self.value(node.parts[1], names)
        if sign in ("==", "!="):
            return (_comparable(left) == _comparable(right)) == (sign == "==")
        if sign in (">", "<", ">=", "<="):
            return _ordered(sign, left, right)
        if sign == "+" and not (_adds(left) and _adds(right)):
            return show(left) + show(right)
        operation = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "mod", "^": "pow"}[
            sign
        ]
        return FUNCTIONS[operation](number(left), number(right))

    def lazy(self, node: Node, names: Mapping[str, Any]) -> Any:
        """Functions that decide which of their arguments are looked at, and how often."""
        parts, name = node.parts, node.value
        if name in ("if", "ifs"):
            for condition, result in zip(parts[::2], parts[1::2], strict=False):
                if truth(self.value(condition, names)):
                    return self.value(result, names)
            return self.value(parts[-1], names) if len(parts) % 2 else None
        if name == "ifEmpty":
            first = self.value(parts[0], names)
            return first if truth(first) else self.value(parts[1], names)
        if name in ("and", "or"):
            return (all if name == "and" else any)(truth(self.value(part, names)) for part in parts)
        if name == "not":
            return not truth(self.value(parts[0], names))
        if name in ("now", "today"):
            start = self.now if name == "now" else self.now.replace(hour=0, minute=0, second=0)
            return FormulaDate(start, name == "now")
        if name in ("let", "lets"):
            bound = dict(names)
            for variable, given in zip(parts[:-1:2], parts[1::2], strict=False):
                bound[variable.value] = self.value(given, bound)
            return self.value(parts[-1], bound)
        return self.over_list(name, parts, names)

    def over_list(self, name: str, parts: tuple[Node, ...], names: Mapping[str, Any]) -> Any:
        """map, filter and their kin: the second argument is evaluated for each element as `current`."""
        given = self.value(parts[0], names)
        items = given if isinstance(given, list) else ([] if given is None else [given])
        if len(parts) < 2:
            return sorted(items, key=_sort_key) if name == "sort" else len(items)
        results = [
            self.value(parts[1], {**names, "current": item, "index": index})
            for index, item in enumerate(items)
        ]
        if name == "map":
            return results
        if name == "sort":
            order = sorted(range(len(items)), key=lambda index: _sort_key(results[index]))
            return [items[index] for index in order]
        hits = [index for index, result in enumerate(results) if truth(result)]
        if name == "filter":
            return [items[index] for index in hits]
        if name == "some":
            return bool(hits)
        if name == "every":
            return len(hits) == len(items)
        if name == "count":
            return len(hits)
        if name == "find":
            return items[hits[0]] if hits else None
        return hits[0] if hits else -1


def _adds(value: Any) -> bool:
    return value is None or is_number(value) or isinstance(value, bool)


def _comparable(value: Any) -> Any:
    if isinstance(value, FormulaDate):
        return value.start
    return "" if value is None else value


def _sort_key(value: Any) -> tuple[int, Any]:
    if isinstance(value, FormulaDate):
        return 0, value.start.timestamp()
    return (0, number(value)) if is_number(value) or isinstance(value, bool) else (1, show(value).lower())


def _ordered(sign: str, left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    a, b = _sort_key(left), _sort_key(right)
    return {">": a > b, "<": a < b, ">=": a >= b, "<=": a <= b}[sign]


def evaluate(expression: str, read: Callable[[str], Any], now_ms: int) -> Any:
    """The value of an expression; a call that its arguments do not fit gives None, as an empty result."""
    try:
        return Evaluation(read, now_ms).value(parse(expression), {})
    except (TypeError, ValueError, ArithmeticError, KeyError, IndexError, AttributeError, FormulaError):
        # The service serves such a cell as an empty string; the expression itself was checked when it was
        # saved.
        return None


@functools.lru_cache(maxsize=256)
def problem(expression: str) -> str | None:
    """What is wrong with an expression before any page is looked at; None when it is fine."""
    try:
        node = parse(expression)
    except FormulaError as error:
        return str(error)
    unknown = sorted(_unknown(node))
    return f"Undefined function {unknown[0]}" if unknown else None


def _unknown(node: Node) -> set[str]:
    out = {name for part in node.parts for name in _unknown(part)}
    if node.kind == "call" and node.value not in FUNCTIONS and node.value not in _LAZY:
        out.add(node.value)
    return out
