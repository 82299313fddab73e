"""Values and errors as JSON and back, so that a replayed step gives just what the first run gave."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from daemon.core import errors
from daemon.core.errors import HandoffdError, TransientError

_KINDS: dict[str, type[HandoffdError]] = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, HandoffdError)
}


class Unexpected(Exception):
    """A step raised something that is no HandoffdError; ``str()`` is its type and message."""


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(
        f"{type(value).__name__} can't be kept: a step's result must be JSON, a dataclass or a struct"
    )


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"{kind} can't be read back from a step's result")


def dump(value: Any) -> Any:
    """JSON form of a step's result. Raises TypeError for what has none."""
    return msgspec.to_builtins(value, enc_hook=_encode)


def load(value: Any, kind: Any) -> Any:
    """``value`` as ``kind``; as it is when ``kind`` says nothing."""
    if kind is Any or kind is None or kind is type(None):
        return value
    return msgspec.convert(value, kind, dec_hook=_decode)


def result_type(fn: Callable[..., Any]) -> Any:
    """What ``fn``'s return annotation names, else Any."""
    target = getattr(fn, "func", fn)  # functools.partial
    try:
        return get_type_hints(target).get("return", Any)
    except (NameError, TypeError):
        return Any


def dump_error(error: Exception) -> dict[str, Any]:
    """An error as data: kind, message, hint, problems, retry_after; a trace for a surprise."""
    if isinstance(error, HandoffdError):
        data: dict[str, Any] = {
            "kind": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "problems": list(error.problems),
        }
        if isinstance(error, TransientError):
            data["retry_after"] = error.retry_after
        return data
    trace = "".join(traceback.format_exception(error)[-6:])
    return {"kind": "Unexpected", "message": f"{type(error).__name__}: {error}", "trace": trace[-4000:]}


def load_error(data: dict[str, Any]) -> Exception:
    """The error again, of the same kind."""
    kind = _KINDS.get(data["kind"])
    if kind is None:
        return Unexpected(data["message"])
    error = kind(data["message"], hint=data.get("hint", ""), problems=tuple(data.get("problems", ())))
    if isinstance(error, TransientError):
        error.retry_after = data.get("retry_after")
    return error
