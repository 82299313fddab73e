"""What stands between us and a child program: sets its limits, ties its life to ours, then becomes it.

Run as a script with ``python -I -S``. Setting limits in a forked copy of a threaded process can deadlock
(subprocess docs on ``preexec_fn``), so a fresh small interpreter does it: about 14 ms. It is paid for every
child, so nothing is imported that can be done without: json and signal alone made it 23 ms.
"""

import os
import resource
import sys


def _die_with(parent: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig, sigkill = 1, 9
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, sigkill, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(137)


def _limit(kind: int, value: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    top = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (top, top))


def _as_batch_work() -> None:
    """A thread that wakes does not push its waker aside: with ffmpeg's threads, one a stage, this and one
    core (cores.py) together save an eighth of the CPU time of a track.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        return  # a container may forbid it; the work is the same


def main() -> None:
    """Arguments: parent, most bytes of a file, most bytes of memory (0 = no limit), ``batch`` or empty, then
    the program's own.

    Exits 127 when it can't start.
    """
    parent, max_file, max_memory = (int(a) for a in sys.argv[1:4])
    batch, argv = sys.argv[4], sys.argv[5:]
    _die_with(parent)
    _limit(resource.RLIMIT_CORE, 0)
    if max_file:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails with EFBIG and the program can say so
        _limit(resource.RLIMIT_FSIZE, max_file)
    if max_memory:
        _limit(resource.RLIMIT_AS, max_memory)
    if batch and sys.platform == "linux":
        _as_batch_work()
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - an argv list, no shell
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
