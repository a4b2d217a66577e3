"""Urgency ends with its block, nested or not, and needs no privilege."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from labctl.probes.urgency import urgent


def test_every_thread_is_as_before_afterwards() -> None:
    before, usual, end = os.getpriority(os.PRIO_PROCESS, 0), sys.getswitchinterval(), threading.Event()
    seen: list[int] = []

    def look() -> None:
        end.wait(5)
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=look)
    thread.start()
    with urgent(), urgent():
        assert os.getpriority(os.PRIO_PROCESS, 0) == (-20 if os.geteuid() == 0 else before)
        assert sys.getswitchinterval() < usual
    end.set()
    thread.join()
    assert seen == [before] == [os.getpriority(os.PRIO_PROCESS, 0)]
    assert sys.getswitchinterval() == pytest.approx(usual)
