"""What was made by hand inside a lab and is in no plan: told in words, and removed by the message that it came with."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Removal:
    """The netlink message that removes something: the protocol (netlink(7)), its type, and its body in hexadecimal."""

    family: int
    type: int
    body: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something made by hand that no other class describes: never in a plan, observed only, and removed as a whole.

    `what` says it in words. `takes`: what nobody else can have as long as it is there, see `relations.claims`.
    """

    namespace: str
    what: str
    removal: Removal
    takes: tuple[tuple[Any, ...], ...] = ()

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.what, self.removal)
