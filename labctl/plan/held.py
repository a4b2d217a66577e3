"""What the programs of a lab put on devices by themselves, and take away again, which no plan asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Interface
from itertools import chain

from labctl.model.services import Vrrp
from labctl.plan.objects import Address, KernelObject, Plan, Process

Held = tuple[str, str, IPv4Interface]
"""An address on a device of a namespace."""


def held_by_programs(objects: Iterable[KernelObject]) -> frozenset[Held]:
    """The addresses that a program may hold at one time and not at another, without those that are asked for besides:
    they are neither missing nor foreign.
    """
    every = list(objects)
    asked = {(each.namespace, each.device, each.address) for each in every if isinstance(each, Address)}
    return frozenset(held for each in every if isinstance(each, Process) for held in _held(each)) - asked


def without_held(present: Plan, plans: Sequence[Plan]) -> Plan:
    """What was observed without the addresses that the programs of `plans`, or those that run, hold at the moment."""
    running = (each for each in present.objects if isinstance(each, Process))
    held = held_by_programs(chain(running, *(plan.objects for plan in plans)))
    if not held:
        return present
    return Plan(present.lab, tuple(each for each in present.objects if not _is_held(each, held)))


def _is_held(each: KernelObject, held: frozenset[Held]) -> bool:
    return isinstance(each, Address) and (each.namespace, each.device, each.address) in held


def _held(process: Process) -> Iterator[Held]:
    if isinstance(process.program, Vrrp):
        yield from ((process.namespace, device, address) for device, address in process.program.addresses)
