"""Line numbers of TOML keys, against texts whose lines are known."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.settings.toml_lines import line_numbers

TRICKY = '''# = [x]
a = 1 # b = 2
"quoted key".'x' = "= [ # no"
many = [
  1, # ]
  "]",
]
text = """
not = a key
[nor a table]
\\""" still"""
raw = \'\'\'x = 1\'\'\'\'\'
[ table . "in ner" ]  # [c]
inline = { a = 1, b = [2] }
[[rows]]
k = 1
[rows.sub]
k = 2
[[rows]]
k = 3
'''


def test_keys_are_found_and_what_only_looks_like_one_is_not() -> None:
    tomllib.loads(TRICKY)
    assert line_numbers(TRICKY) == {
        ("a",): 2,
        ("quoted key", "x"): 3,
        ("many",): 4,
        ("text",): 8,
        ("raw",): 12,
        ("table", "in ner"): 13,
        ("table", "in ner", "inline"): 14,
        ("rows",): 15,
        ("rows", "0"): 15,
        ("rows", "0", "k"): 16,
        ("rows", "0", "sub"): 17,
        ("rows", "0", "sub", "k"): 18,
        ("rows", "1"): 19,
        ("rows", "1", "k"): 20,
    }


_KEY = st.text(min_size=1, max_size=8).filter(lambda k: k.isprintable())
_VALUE: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 99) | st.booleans() | st.text(max_size=12).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


def _basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _basic(value)
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(_write, value)) + "\n]"
    return str(value)


@given(st.dictionaries(_KEY, st.dictionaries(_KEY, _VALUE, max_size=4), max_size=4), st.integers(0, 2))
def test_every_key_of_any_file_has_the_line_that_it_was_written_on(
    tables: dict[str, dict[str, Any]], blank: int
) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for name, table in tables.items():
        lines += ['# a comment = [ "'] * blank + [f"[{_basic(name)}]  # ]"]
        expected[(name,)] = len(lines)
        for key, value in table.items():
            expected[(name, key)] = len(lines) + 1
            lines += f"{_basic(key)} = {_write(value)}".split("\n")
    text = "\n".join(lines) + "\n"
    assert tomllib.loads(text) == tables
    assert line_numbers(text) == expected
