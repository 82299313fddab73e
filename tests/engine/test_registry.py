"""Handlers found by entry point; Parameters as people type them."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from daemon.core.errors import ConfigError
from daemon.engine.registry import GROUP, Registry, parse_parameters, typed_parameters


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", {}),
        ("n = 3\nok = true", {"n": 3, "ok": True}),
        ("since = 7d", {"since": "7d"}),
        ("since = “7d”", {"since": "7d"}),
        ('check.AC1 = file:a.txt\ncheck.AC2 = "tests"', {"check": {"AC1": "file:a.txt", "AC2": "tests"}}),
        ("# note\n\nurl = https://x.org/a?b=c", {"url": "https://x.org/a?b=c"}),
        ('path = C:\\new "x"', {"path": 'C:\\new "x"'}),
    ],
)
def test_parameters_are_toml_and_forgive_missing_quotes(text: str, meant: dict) -> None:
    assert parse_parameters(text) == meant


@pytest.mark.parametrize("text", ["just words", "= 3", "a =", "a = x\na = y", "a.b = 1\na = x"])
def test_what_is_no_parameter_is_told(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_parameters(text)
    assert "key = value" in caught.value.one_line()


@dataclass(frozen=True)
class Params:
    n: int = 1


def test_types_and_names_are_checked() -> None:
    assert typed_parameters(Params, {"n": "5"}) == Params(5)
    with pytest.raises(ConfigError, match="unknown parameter m"):
        typed_parameters(Params, {"m": 1})
    with pytest.raises(ConfigError, match="Parameters"):
        typed_parameters(Params, {"n": "many"})


def test_the_shipped_handlers_load_and_import_no_vendor() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from daemon.engine.registry import Registry; r = Registry();"
        "print(r.names(), [x.reason for x in r.found() if x.state != 'loaded']);"
        "print([m for m in ('yt_dlp', 'spotipy', 'mutagen', 'imageio_ffmpeg', 'dbos', 'notion_client')"
        " if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["['handoff', 'music-sync', 'report'] []", "[]"]


def test_a_name_that_differs_from_its_entry_point_is_recorded() -> None:
    wrong = EntryPoint(name="other", value="handlers.report:Report", group=GROUP)
    (record,) = Registry([wrong]).found()
    assert record.state == "load_error" and "entry point" in record.reason
