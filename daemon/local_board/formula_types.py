"""The type of a formula's result, read off its expression: what an empty result is served as.

The published schema has an empty value of each type, and an empty date is no empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daemon.local_board.formula_parse import FormulaError, Node, parse

STRING, NUMBER, BOOLEAN, DATE = "string", "number", "boolean", "date"

_RESULTS = {
    **dict.fromkeys(
        ("length", "toNumber", "subtract", "multiply", "divide", "mod", "pow", "min", "max", "sum", "mean",
         "median", "abs", "ceil", "floor", "round", "sqrt", "cbrt", "exp", "ln", "log10", "log2", "sign",
         "pi", "e", "minute", "hour", "day", "date", "week", "month", "year", "dateBetween", "timestamp",
         "count", "findIndex"),
        NUMBER,
    ),
    **dict.fromkeys(
        ("contains", "includes", "test", "equal", "unequal", "empty", "some", "every", "and", "or", "not"),
        BOOLEAN,
    ),
    **dict.fromkeys(
        ("dateAdd", "dateSubtract", "dateRange", "dateStart", "dateEnd", "fromTimestamp", "parseDate", "now",
         "today"),
        DATE,
    ),
}  # fmt: skip
_SIGNS = {
    **dict.fromkeys(("-", "*", "/", "%", "^"), NUMBER),
    **dict.fromkeys(("==", "!=", ">", "<", ">=", "<=", "and", "or"), BOOLEAN),
}


def result_type(expression: str, property_type: Callable[[str], str]) -> str:
    """ "string", "number", "boolean" or "date".  property_type: a property's id to the same."""
    try:
        return _type(parse(expression), property_type, {})
    except (FormulaError, RecursionError):
        return STRING


def _type(node: Node, property_type: Callable[[str], str], names: Mapping[str, str]) -> str:
    def of(part: Node) -> str:
        return _type(part, property_type, names)

    if node.kind == "literal":
        return BOOLEAN if isinstance(node.value, bool) else STRING if isinstance(node.value, str) else NUMBER
    if node.kind == "property":
        return property_type(node.value)
    if node.kind == "name":
        return names.get(node.value, STRING)
    if node.kind == "unary":
        return BOOLEAN if node.value == "not" else NUMBER
    if node.value in ("+", "add"):
        return NUMBER if all(of(part) == NUMBER for part in node.parts) else STRING
    if node.kind == "binary":
        return _SIGNS[node.value]
    if node.kind != "call":
        return STRING
    if node.value in ("let", "lets"):
        bound = dict(names)
        for variable, given in zip(node.parts[:-1:2], node.parts[1::2], strict=False):
            bound[variable.value] = _type(given, property_type, bound)
        return _type(node.parts[-1], property_type, bound)
    if node.value in ("if", "ifs", "ifEmpty"):
        results = node.parts[1::2] if node.value != "ifEmpty" else node.parts
        rest = node.parts[-1:] if len(node.parts) % 2 else ()
        # An empty text stands for "nothing" beside a result of another type.
        kinds = [of(part) for part in (*results, *rest) if part.kind != "literal" or part.value != ""]
        return kinds[0] if kinds else STRING
    return _RESULTS.get(node.value, STRING)
