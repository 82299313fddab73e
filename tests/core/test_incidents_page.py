"""docs/incidents.md is whole and true, and what the structure excludes is excluded by the structure."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.simulate.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "incidents.md").read_text(encoding="utf-8")
SOURCES = sorted(p for room in ("daemon", "handlers") for p in (ROOT / room).rglob("*.py"))
IDS = {
    *(f"AT-{n}" for n in range(1, 26)),
    *(f"HF-{n}" for n in range(1, 17)),
    *(f"MU-{n}" for n in range(1, 35) if n != 32),  # there never was a 32
    *(f"CF-{n}" for n in range(1, 10)),
    *(f"WH-{n}" for n in range(1, 13)),
    *(f"RP-{n}" for n in range(1, 12)),
    *(f"XC-{n}" for n in range(1, 7)),
}


def test_every_incident_has_its_line() -> None:
    assert len(IDS) == 112
    told = re.findall(r"^\| ([A-Z]{2}-\d+) [^|]+\| [^|]+ \|$", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(IDS)


def test_every_test_and_scenario_named_is_there() -> None:
    tests = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", tests))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 100 and named <= there, named - there
    scenarios = set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", PAGE))
    assert len(scenarios) > 5 and scenarios <= set(SCENARIOS), scenarios - set(SCENARIOS)


def test_HF_16_no_program_is_driven_through_its_windows() -> None:
    tools = re.compile(r"osascript|applescript|pyautogui|xdotool|keystroke", re.IGNORECASE)
    assert not [p for p in SOURCES if tools.search(p.read_text(encoding="utf-8"))]


def test_MU_4_no_option_goes_round_a_guard() -> None:
    """Every option of the command line, and every setting's name."""
    option = re.compile(r'"--([a-z-]+)"')
    command_line = [p for p in SOURCES if "cli" in p.parts]
    options = {o for p in command_line for o in option.findall(p.read_text(encoding="utf-8"))}
    settings = set(re.findall(r"^\| `([a-z_]+)`", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    assert len(options) > 20 and len(settings) > 20
    round_it = re.compile(r"force|bypass|unsafe|ignore|skip|no[-_](check|verify|gate|guard)")
    assert not [name for name in options | settings if round_it.search(name)]


def test_MU_29_folders_are_removed_in_named_places_only() -> None:
    """A run's own work folder, a packet that was not published, and reports past their time."""
    removes = re.compile(r"\brmtree\(|\.rmdir\(|\bremovedirs\(")
    found = {p.relative_to(ROOT).as_posix() for p in SOURCES if removes.search(p.read_text(encoding="utf-8"))}
    assert found == {
        "daemon/engine/conclusion.py",
        "daemon/reports/folders.py",
        "handlers/handoff/packets.py",
        "handlers/music/download.py",
        "handlers/music/render.py",
    }


def test_CF_6_no_path_of_a_machine_is_in_the_code() -> None:
    home = re.compile(r"[\"'](?:/Users/|/Volumes/|/home/|[A-Z]:\\\\)\w")
    assert not [p for p in SOURCES if home.search(p.read_text(encoding="utf-8"))]


IMPORT_ALL = """
import importlib, os, pkgutil, sys

done = []


def seen(event, args):
    if event in ("socket.connect", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename"):
        done.append((event, args))
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        done.append((event, args))


sys.dont_write_bytecode = True
sys.addaudithook(seen)
for room in ("daemon", "handlers"):
    package = importlib.import_module(room)
    for found in pkgutil.walk_packages(package.__path__, room + "."):
        # Programs of their own, which are started and never imported.
        if not found.name.startswith("handlers.music.children.") and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
# A library asks for the interpreter's word length with file(1).
ours = [d for d in done if not str(d[1][0]).startswith(("/dev/null", "/proc")) and d[1][0] != "file"]
assert not ours, ours
print(sum(name.startswith(("daemon.", "handlers.")) for name in sys.modules))
"""


@pytest.mark.timeout(120)
def test_CF_7_importing_everything_touches_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", IMPORT_ALL]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    told = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert told.returncode == 0, told.stderr[-3000:]
    assert int(told.stdout) > 150
    assert list(tmp_path.iterdir()) == []


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_XC_2_what_catches_everything_says_why() -> None:
    """A bare except is nowhere; "except Exception" is marked, and the lines around it say why."""
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if not re.match(r"\s*except( \(?(Base)?Exception\b.*)?:", line):
                continue
            if any(text.strip() == "raise" for text in lines[number + 1 : number + 8]):
                continue  # it tidies up and lets the error go on
            assert "BLE001" in line, f"{path}:{number + 1}"
            said = [text.strip() for text in lines[max(0, number - 6) : number + 4]]
            comment = line.split("BLE001", 1)[1].strip(" -") or [t for t in said if t.startswith("#")]
            assert comment, f"{path}:{number + 1}: say why"


def test_XC_6_modules_and_functions_fit() -> None:
    long = [p for p in SOURCES if len(p.read_text(encoding="utf-8").splitlines()) > 500]
    assert not long
    sizes = [len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCES]
    assert sorted(sizes)[len(sizes) // 2] <= 150, "half of the modules fit two screens"
    beyond = [
        f"{p}:{f.name}"
        for p in SOURCES
        for f in _functions(p)
        if (f.end_lineno or 0) - f.lineno + 1 > 80 and "samples" not in p.parts  # tables of data
    ]
    assert not beyond
