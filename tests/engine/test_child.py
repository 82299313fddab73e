"""A child can't escape: time, silence, output, files, memory, forks, our death."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.engine import cores
from daemon.engine.child import run_child
from daemon.engine.signs import from_ps, group_cpu

PY = sys.executable


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int, within: float = 3.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_output_and_exit_code_and_cpu() -> None:
    code = "import sys; print('a'); print('b', file=sys.stderr); sum(range(10**6)); sys.exit(3)"
    lines: list[str] = []
    result = run_child([PY, "-c", code], timeout=20, on_line=lines.append)
    assert (result.returncode, result.ended, result.stdout, result.stderr) == (3, "exit", "a\n", "b\n")
    assert lines == ["a"]
    assert not result.ok and 0 < result.cpu_s < 5 and result.wall_s > 0


def test_stdin_is_fed_whole() -> None:
    data = b"x" * 300_000
    result = run_child([PY, "-c", "import sys; print(len(sys.stdin.read()))"], timeout=20, stdin=data)
    assert result.stdout == "300000\n"


def test_wall_clock_limit_kills_the_whole_group(tmp_path: Path) -> None:
    code = (
        "import os,time,subprocess,sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import signal,time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)'])\n"
        "open('pid','w').write(str(p.pid)); print('on', flush=True); time.sleep(60)"
    )
    result = run_child([PY, "-c", code], timeout=1.5, cwd=tmp_path)
    assert result.ended == "timeout" and result.wall_s < 8
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_silent_child_is_stopped_and_a_talking_one_is_not() -> None:
    assert run_child([PY, "-c", "import time; time.sleep(30)"], timeout=20, silence=0.5).ended == "silence"
    talks = "import time\nfor _ in range(18): print('.', flush=True); time.sleep(0.2)"
    assert run_child([PY, "-c", talks], timeout=20, silence=3.0).ok


def test_silence_alone_kills_nobody_that_works() -> None:
    """Two signs: a child that says nothing but uses its CPU lives; one that does neither is stopped, and the
    result says what was measured."""
    works = "import time\nend = time.monotonic() + 2.5\nwhile time.monotonic() < end: sum(range(1000))"
    assert run_child([PY, "-c", works], timeout=60, silence=0.6).ok
    idle = run_child([PY, "-c", "import time; time.sleep(60)"], timeout=50, silence=0.6)
    assert idle.ended == "silence" and idle.wall_s < 30
    assert re.fullmatch(r"no output for \d+ s and no CPU time used for \d+ s", idle.why)


def test_cpu_time_of_a_group_is_that_of_all_its_processes() -> None:
    inner = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    child = subprocess.Popen([PY, "-c", code], start_new_session=True)
    try:
        end = time.monotonic() + 30
        while (group_cpu(child.pid) or 0.0) < 0.25:
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_the_table_of_ps_is_read_in_all_its_forms() -> None:
    table = "   77   0:01.50\n   77  2:03:04\n  777   9:00.00\n   77 1-00:00:01\n"
    assert from_ps(table, 77) == 1.5 + 7384 + 86_401
    assert from_ps(table, 7) == 0.0


def test_cancel_stops_it_within_five_seconds() -> None:
    stubborn = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    began = time.monotonic()
    result = run_child([PY, "-c", stubborn], timeout=60, cancelled=lambda: time.monotonic() - began > 0.5)
    assert result.ended == "cancelled" and result.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 5


def test_endless_output_is_bounded() -> None:
    code = "import sys\nwhile True: sys.stdout.write('y' * 65536)"
    result = run_child([PY, "-c", code], timeout=1.0, keep=1000)
    assert result.ended == "timeout" and len(result.stdout) == 1000


def test_a_file_can_not_grow_beyond_the_limit(tmp_path: Path) -> None:
    code = "f = open('big', 'wb', 0)\nwhile True: f.write(b'0' * 100000)"
    result = run_child([PY, "-c", code], timeout=20, cwd=tmp_path, max_file=1_000_000)
    assert result.returncode == 1 and "File too large" in result.stderr
    assert (tmp_path / "big").stat().st_size == 1_000_000


def test_memory_is_bounded() -> None:
    result = run_child([PY, "-c", "b'0' * (1 << 30)"], timeout=20, max_memory=300 << 20)
    assert result.returncode == 1 and "MemoryError" in result.stderr


def test_the_environment_holds_no_secret(monkeypatch) -> None:
    monkeypatch.setenv("NOTION_TOKEN", "canary")
    result = run_child([PY, "-c", "import os; print(sorted(os.environ))"], timeout=20, env={"A": "b"})
    assert "NOTION_TOKEN" not in result.stdout and "'A'" in result.stdout


def test_a_program_that_is_not_there_says_so() -> None:
    result = run_child(["no-such-program-here"], timeout=5)
    assert result.returncode == 127 and "No such file" in result.stderr


def test_a_background_process_does_not_hold_the_result() -> None:
    code = "import subprocess,sys; subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)'])"
    result = run_child([PY, "-c", code], timeout=20)
    assert result.ok and result.wall_s < 5


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds nothing to a core")
def test_media_programs_side_by_side_keep_to_a_core_each_and_one_alone_has_all(tmp_path: Path) -> None:
    """Every thread of them, also those that run already when the second begins."""
    code = (
        "import os,sys,time,pathlib,threading\n"
        "stop = lambda: [time.sleep(0.02) for _ in iter(lambda: pathlib.Path(sys.argv[1]).exists(), True)]\n"
        "threading.Thread(target=stop).start()\n"
        "print(os.getpid(), os.sched_getscheduler(0) == os.SCHED_BATCH, flush=True)\n"
        "stop()"
    )
    said: list[str] = []
    threads = []

    def begin(name: str) -> int:
        options = {"timeout": 60, "cwd": tmp_path, "on_line": said.append, "one_core": True}
        threads.append(threading.Thread(target=run_child, args=([PY, "-c", code, name],), kwargs=options))
        threads[-1].start()
        wait_for(lambda: len(said) == len(threads))
        pid, batch = said[-1].split()
        assert batch == "True"
        return int(pid)

    def kept(pid: int) -> set[tuple[int, ...]]:
        threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        assert len(threads) == 2
        return {tuple(sorted(os.sched_getaffinity(thread))) for thread in threads}

    ours = tuple(sorted(os.sched_getaffinity(0)))
    first = begin("one")
    assert kept(first) == {ours}
    others = [begin(f"other {number}") for number in range(len(ours) - 1)]
    if others:
        assert {*kept(first), *(one for pid in others for one in kept(pid))} == {(core,) for core in ours}
    for number in range(len(others)):
        (tmp_path / f"other {number}").touch()
    for thread in threads[1:]:
        thread.join()
    assert kept(first) == {ours}
    (tmp_path / "one").touch()
    threads[0].join()
    free = run_child([PY, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"], timeout=20)
    assert free.stdout == f"{list(ours)}\n"


def wait_for(what) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40), st.integers(1, 8))
def test_cores_are_shared_evenly_and_nobody_is_moved_for_nothing(turns, count: int) -> None:
    ours = frozenset(range(count))
    now: dict[int, frozenset[int]] = {}
    for begins, pid in turns:
        before = dict(now)
        if begins:
            now.setdefault(pid, cores.ALL)
        else:
            now.pop(pid, None)
        now = cores.shares(now, ours)
        if count == 1 or 2 * len(now) <= count:
            assert set(now.values()) <= {cores.ALL}
            continue
        assert all(len(kept) == 1 and kept <= ours for kept in now.values())
        assert all(now[p] == before[p] for p in now if len(before.get(p, ())) == 1)
        load = {core: list(now.values()).count(frozenset({core})) for core in ours}
        was = {core: list(before.values()).count(frozenset({core})) for core in ours}
        if all(before.values()):  # they kept to one each before, so one that began chose
            assert all(was[next(iter(now[p]))] == min(was.values()) for p in now if p not in before)
        else:
            assert max(load.values()) - min(load.values()) <= 1


def test_a_program_that_closes_its_pipes_first_is_not_waited_for_in_long_pauses(tmp_path: Path) -> None:
    """ffmpeg does so: its end was seen up to a tenth of a second late, a tenth of a short track's time."""
    code = (
        "import os,time; time.sleep(0.5); os.close(1); os.close(2); time.sleep(0.02)\n"
        "open('end', 'w').write(str(time.monotonic())); os._exit(0)"
    )
    late = []
    for _ in range(5):
        assert run_child([PY, "-I", "-S", "-c", code], timeout=20, cwd=tmp_path).ok
        late.append(time.monotonic() - float((tmp_path / "end").read_text()))
    assert min(late) < 0.05, late


def test_it_dies_with_us(tmp_path: Path) -> None:
    ours = (
        "from daemon.engine.child import run_child\nimport sys\n"
        'run_child([sys.executable,\'-c\',\'import os,time; open("pid","w").write(str(os.getpid()));'
        " time.sleep(60)'], timeout=60)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([PY, "-c", ours], cwd=tmp_path, env=env)
    for _ in range(500):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert gone(int((tmp_path / "pid").read_text()))
