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
def test_two_that_keep_to_one_core_have_each_their_own(tmp_path: Path) -> None:
    code = (
        "import os,time,pathlib\n"
        "print(*os.sched_getaffinity(0), os.sched_getscheduler(0) == os.SCHED_BATCH, flush=True)\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.02)"
    )
    said: list[str] = []
    threads = []
    for number in (1, 2):
        options = {"timeout": 60, "cwd": tmp_path, "on_line": said.append, "one_core": True}
        threads.append(threading.Thread(target=run_child, args=([PY, "-c", code],), kwargs=options))
        threads[-1].start()
        until = time.monotonic() + 60
        while len(said) < number and time.monotonic() < until:
            time.sleep(0.02)
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join()
    ours = sorted(os.sched_getaffinity(0))
    assert len(said) == 2 and all(re.fullmatch(r"\d+ True", line) for line in said), said
    assert len(set(said)) == min(2, len(ours)), said
    free = run_child([PY, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"], timeout=20)
    assert free.stdout == f"{ours}\n"


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
