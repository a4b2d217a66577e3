"""The namespaces of a lab on their way: which of them exist already, and what became of those that do not."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence

from labctl.errors import HostError, KernelError, LabError
from labctl.kernel import netns
from labctl.kernel.nursery import MADE, PACE, Nursery
from labctl.kernel.paths import Paths
from labctl.kernel.words import describe
from labctl.plan.objects import Namespace


class Making:
    """Fresh namespaces, each with its settings, that `nursery` makes. Raises what `netns.make_ready` does."""

    def __init__(self, nursery: Nursery, paths: Paths, items: Sequence[Namespace]) -> None:
        self._maker = nursery.maker
        self._items = items
        self._turn = {item.name: turn for turn, item in enumerate(items, 1)}
        self._made = 0
        netns.make_ready(paths, [item.name for item in items])
        nursery.order(paths, [(item.name, item.forwarding) for item in items])

    def has(self, name: str) -> bool:
        """Whether the namespace need not be waited for."""
        return self._turn.get(name, 0) <= self._made

    def wait(self, name: str) -> None:
        """Return once the namespace exists. LabError where one could not be made."""
        while not self.has(name):
            self._hear()

    def finish(self) -> None:
        """Return once all exist. LabError where one could not be made."""
        while self._made < len(self._items):
            self._hear()

    def _hear(self) -> None:
        told = os.read(self._maker.heard, 4096)
        fault = told.lstrip(MADE)
        if fault or not told:
            raise self._error(fault + self._maker.read())
        self._made = min(self._made + len(told) * PACE, len(self._items))

    def _error(self, fault: bytes) -> LabError:
        if not fault:
            return HostError("what makes namespaces came to an early end")
        turn, error = pickle.loads(fault)
        if not isinstance(error, KernelError):
            found: LabError = error
            return found
        item = self._items[turn]
        reason = f"cannot create {describe(item)}: {error.message}"
        return KernelError(reason, subject=item, errno=error.errno, hint=error.hint)
