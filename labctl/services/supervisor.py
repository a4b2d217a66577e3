"""The supervisor: one small process a lab that outlives the command line and keeps the lab's programs as its children.

A program that ends is recorded and not started again; when the supervisor ends, in whatever way, all of them end.
`labctl.services.keeper` starts it and talks to it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from labctl.codec import decode, encode
from labctl.errors import LabError, StateError
from labctl.kernel.paths import Paths
from labctl.plan.objects import Process
from labctl.services import processes
from labctl.services.children import Child, spawn
from labctl.services.clients import Client, Clients, Data
from labctl.services.control import Roster, ServiceStatus, error_to_data, line, roster_file
from labctl.services.keeper import Keeper, start

__all__ = ["Keeper", "ServiceStatus", "Supervisor", "main", "start"]

START_S = 10.0
"""A program that has not started so long after it was asked to, or not changed, is killed."""
GRACE_S = 0.5
"""From SIGTERM to SIGKILL."""

Key = tuple[str, str]


class Supervisor:
    """The supervisor of the lab at `paths`. OSError where its socket cannot be had."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._children: dict[Key, Child] = {}
        self._waiting: dict[Key, list[Client]] = {}
        self._deadlines: dict[Key, float] = {}
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._clients = Clients(paths, self._selector, self._obey)
        self._alarm, self._signals = socket.socketpair()
        self._catch_signals()
        self._watch(self._alarm, self._take_signals)
        self._record()

    def run(self) -> None:
        """Serve until told to shut down."""
        while True:
            next_deadline = min(self._deadlines.values(), default=None)
            timeout = None if next_deadline is None else max(0.0, next_deadline - time.monotonic())
            for key, _ in self._selector.select(timeout):
                key.data()
                if self._ended:  # whoever else asks in this very moment learns it from the end of the stream
                    return
            self._kill_late(time.monotonic())

    def _watch(self, source: socket.socket | int, act: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)

    def _catch_signals(self) -> None:
        for end in (self._alarm, self._signals):
            end.setblocking(False)
        signal.set_wakeup_fd(self._signals.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)  # the wake-up socket tells the loop

    def _take_signals(self) -> None:
        taken = self._alarm.recv(4096)
        if signal.SIGTERM in taken:  # nobody took the lab down: what tells of us stays, and so says that we ended
            self._end_children()
        else:
            self._reap()

    def _obey(self, request: Data, client: Client) -> None:
        match request["do"]:
            case "start":
                self._start(decode(Process, request["process"]), client)
            case "change":
                self._change(decode(Process, request["process"]), client)
            case "stop":
                self._stop((request["namespace"], request["name"]), client)
            case "signal":
                self._signal((request["namespace"], request["name"]), signal.Signals(request["number"]))
                client.reply({"ok": True})
            case "status":
                client.reply({"ok": True, "services": [encode(each.status) for each in self._children.values()]})
            case "programs":
                told = [
                    {"pid": each.identity.pid if each.running else 0, "process": encode(each.process)}
                    for each in self._children.values()
                ]
                client.reply({"ok": True, "programs": told})
            case "shutdown":
                self._end_children()
                for place in (self._paths.control, roster_file(self._paths)):
                    place.unlink(missing_ok=True)
                client.reply({"ok": True})
            case other:
                raise ValueError(f"no verb {other!r}")

    def _start(self, process: Process, client: Client) -> None:
        key = (process.namespace, process.name)
        if key in self._children and self._children[key].running:
            raise StateError(f"{process.name} runs already in {process.namespace}")
        child = self._children[key] = spawn(process, self._paths, self._release)
        self._await(key, client, START_S)
        self._watch(child.reports, lambda: self._hear(key, child))
        self._watch(child.output, lambda: self._read(key, child))
        self._record()

    def _change(self, process: Process, client: Client) -> None:
        key = (process.namespace, process.name)
        child = self._children.get(key)
        if child is None or not child.running:
            self._start(process, client)
            return
        if child.task:
            raise StateError(f"{process.name} in {process.namespace} is busy: it was asked to {child.task}")
        child.change(process)
        self._await(key, client, START_S)
        self._selector.register(child.orders, selectors.EVENT_WRITE, lambda: self._send(child))

    def _send(self, child: Child) -> None:
        if child.running and child.send():
            self._selector.unregister(child.orders)

    def _stop(self, key: Key, client: Client) -> None:
        child = self._children.get(key)
        if child is None or not child.running:
            self._children.pop(key, None)
            client.reply({"ok": True})
            return
        os.kill(child.identity.pid, signal.SIGTERM)  # not yet waited for: the pid cannot be another's
        early = StateError(f"{key[1]} in {key[0]} was stopped before it did what it was asked to: {child.task}")
        self._answer(key, error_to_data(early))
        self._await(key, client, GRACE_S)
        child.task = "stop"

    def _await(self, key: Key, client: Client, seconds: float) -> None:
        self._waiting[key] = [client]
        self._deadlines[key] = time.monotonic() + seconds

    def _signal(self, key: Key, number: signal.Signals) -> None:
        child = self._children.get(key)
        if child is not None and child.running:
            os.killpg(child.identity.pid, number)  # not yet waited for: the pid cannot be another's

    def _hear(self, key: Key, child: Child) -> None:
        if not child.running:
            return  # buried since the selector named its pipe, which is closed
        answer = child.hear()
        if answer is not None:
            self._deadlines.pop(key, None)
            self._answer(key, answer)

    def _read(self, key: Key, child: Child) -> None:
        for text in child.read() if child.running else ():
            _log(key, text)

    def _reap(self) -> None:
        by_pid = {child.identity.pid: key for key, child in self._children.items() if child.running}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in by_pid:  # others were orphans left to us
                self._bury(by_pid[pid], status)
        with contextlib.suppress(OSError):  # a roster that names too many harms nobody
            self._record()

    def _bury(self, key: Key, status: int) -> None:
        child = self._children[key]
        self._hear(key, child)
        self._read(key, child)
        for pipe in {child.orders, child.reports, child.output} & self._selector.get_map().keys():
            self._selector.unregister(pipe)
        child.end(status)
        self._deadlines.pop(key, None)
        if child.task == "stop":
            del self._children[key]
            self._answer(key, {"ok": True})
            return
        _log(key, child.detail)
        reason = StateError(f"{key[1]} in {key[0]} did not {child.task or 'go on'}: {child.detail}")
        self._answer(key, child.failure or error_to_data(reason))

    def _answer(self, key: Key, data: Data) -> None:
        for client in self._waiting.pop(key, []):
            client.reply(data)

    def _kill_late(self, now: float) -> None:
        for key in [key for key, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[key]
            child = self._children[key]
            if child.task != "stop":
                late = StateError(f"{key[1]} in {key[0]} did not {child.task} within {START_S:.0f} s")
                child.failure = error_to_data(late)
            os.killpg(child.identity.pid, signal.SIGKILL)

    def _end_children(self) -> None:
        """Kill and await every child and what it has started, which its end makes ours; this ends us, too."""
        running = [child for child in self._children.values() if child.running]
        for child in running:
            os.killpg(child.identity.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        self._ended = True

    def _record(self) -> None:
        """Write the roster, whole or not at all."""
        me = processes.identify(os.getpid())
        if me is None:
            raise StateError("/proc is not mounted: processes cannot be told apart")
        running = tuple(child.identity for child in self._children.values() if child.running)
        place = roster_file(self._paths)
        fresh = place.with_suffix(".new")
        fresh.write_text(json.dumps(encode(Roster(me, running, processes.boot_id()))))
        fresh.rename(place)

    def _release(self) -> None:
        """In a child: close every file of the supervisor's."""
        files: set[Any] = {key.fileobj for key in self._selector.get_map().values()}
        _close_all(files | {child.orders for child in self._children.values() if child.running})
        self._selector.close()
        self._signals.close()


def _close_all(files: Iterable[Any]) -> None:
    for each in files:
        if isinstance(each, int):
            os.close(each)
        else:
            each.close()


def _log(key: Key, text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk shall not end the lab
        print(f"{'/'.join(key)}: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
    """`LAB RUN NETNS READY STARTER`: become the supervisor of LAB; tell the file descriptor READY, then close it.

    Until then it dies with the process STARTER, so that none is left that the lab's directory does not tell of.
    """
    lab, run, netns, ready, starter = arguments
    processes.die_with(int(starter))
    launcher = os.getpid()
    heard, standing = os.pipe()
    if os.fork():
        os.close(standing)
        os.read(heard, 1)  # until it stands by itself, or has ended
        os._exit(0)
    os.close(heard)
    processes.die_with(launcher)
    os.umask(0o077)
    os.chdir("/")
    processes.adopt_orphans()
    processes.set_name(f"labctl:{lab}")
    try:
        supervisor = Supervisor(Paths(lab, Path(run), Path(netns)))
    except (OSError, LabError) as error:
        os.write(int(ready), line(error_to_data(StateError(f"the supervisor of {lab} cannot start: {error}"))))
        return
    processes.live_on()
    os.write(int(ready), line({"ok": True, "pid": os.getpid()}))
    os.close(int(ready))
    os.close(standing)
    gc.freeze()  # the children share these pages as long as nobody writes to them
    supervisor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
