"""What is done aside comes back: a value, an error, or that there is none."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from labctl.errors import HostError, KernelError, LabError
from labctl.kernel.aside import Aside, Child, Strand


def refuse() -> int:
    raise KernelError("no", errno=7, hint="do otherwise")


def test_a_value_comes_back_from_another_process() -> None:
    with Aside(lambda: {"pid": os.getpid(), "much": "x" * 1_000_000}) as aside:
        found = aside.result()
    assert found["pid"] != os.getpid()
    assert len(str(found["much"])) == 1_000_000


def test_an_error_is_raised_as_it_was_there() -> None:
    with Aside(refuse) as aside, pytest.raises(KernelError) as caught:
        aside.result()
    assert (caught.value.message, caught.value.errno, caught.value.hint) == ("no", 7, "do otherwise")


def test_a_child_that_is_killed_is_told() -> None:
    with Aside(lambda: os.kill(os.getpid(), signal.SIGKILL)) as aside, pytest.raises(HostError):
        aside.result()


def test_nobody_waits_for_what_is_not_wanted_any_more() -> None:
    with Child(lambda told: signal.pause()) as child:
        pid = child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_leaves_ctrl_c_to_its_parent() -> None:
    def work(told: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.write(told, b"alive")

    with Child(work) as child:
        assert child.read() == b"alive"


def test_a_thread_speaks_like_a_child() -> None:
    strand = Strand(lambda told: void(os.write(told, str(threading.get_ident()).encode())))
    assert int(strand.read()) != threading.get_ident()
    for _ in range(2):
        strand.end()


def void(written: int) -> None:
    assert written


def test_errors_of_every_kind_can_come_back() -> None:
    for kind in (HostError, KernelError):
        with Aside(lambda kind=kind: fail(kind)) as aside, pytest.raises(kind):  # type: ignore[misc]
            aside.result()


def fail(kind: type[LabError]) -> None:
    raise kind("no", hint="hint")
