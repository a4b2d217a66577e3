"""A program that tries commands in namespaces of its own, which end with it: nothing it does can outlive it.

Trials come on standard input and what came of them goes to standard output, both JSON. It imports nothing of labctl,
so that a bare interpreter runs it in a few milliseconds.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

Trial = Sequence[tuple[Sequence[str], str]]
"""Commands (arguments, standard input), to be run one after the other in one fresh network namespace."""

_CLONE_NEWNS = 0x00020000  # sched.h
_CLONE_NEWNET = 0x40000000
_MS_REC_PRIVATE = 0x4000 | 1 << 18  # mount.h: MS_REC | MS_PRIVATE
_PR_SET_PDEATHSIG = 1  # prctl.h
_STEP_SECONDS = 30.0  # an emulated processor tests a cipher for seconds when its module is first loaded
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Read `{name: Trial}`, write `{name: what the failing command said}`, "" where none failed."""
    _end_with_parent(os.getppid())
    trials: dict[str, Trial] = json.load(sys.stdin)
    try:
        _hide_run()
        outcomes = {name: _outcome(trial) for name, trial in trials.items()}
    except OSError as error:
        outcomes = dict.fromkeys(trials, f"no namespaces: {error.filename}: {error.strerror}")
    json.dump(outcomes, sys.stdout)


def _end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; at once if `parent` has ended already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _hide_run() -> None:
    """A private mount table with an empty /run: iptables makes its lock file there."""
    _check(_LIBC.unshare(_CLONE_NEWNS), "unshare")
    _check(_LIBC.mount(None, b"/", None, _MS_REC_PRIVATE, None), "mount --make-rprivate /")
    _check(_LIBC.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"size=1m,mode=755"), "mount -t tmpfs tmpfs /run")


def _outcome(trial: Trial) -> str:
    _check(_LIBC.unshare(_CLONE_NEWNET), "unshare --net")
    for arguments, text in trial:
        fault = _run(arguments, text)
        if fault:
            return fault
    return ""


def _run(arguments: Sequence[str], text: str) -> str:
    env = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            arguments,
            input=text,
            capture_output=True,
            text=True,
            timeout=_STEP_SECONDS,
            env=env,
            preexec_fn=functools.partial(_end_with_parent, os.getpid()),
        )
    except subprocess.TimeoutExpired:
        return f"{arguments[0]} gave no answer in {_STEP_SECONDS:g} s"
    except OSError as error:
        return f"{arguments[0]}: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(said)[:300] or f"{arguments[0]} ended with status {done.returncode}"


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    main()
