"""Why a step is taken, in words: what the description says, what the kernel holds, and what lies on what."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields

from labctl.plan.diff import diff
from labctl.plan.objects import (
    Change,
    Create,
    Delete,
    End,
    Foreign,
    KernelObject,
    Namespace,
    Plan,
    Process,
    Ruleset,
    Step,
    Veth,
    XfrmState,
)
from labctl.plan.relations import Part, down, lies_on, makes, networks
from labctl.plan.rulesets import beyond, meaning

Key = tuple[type, Hashable]
Facts = dict[str, tuple[object, str]]
"""What is said of an object beside what it is: each thing by its name, as a value and in words."""

_ASKED = "the description asks for it now"
_NOT_ASKED = "the description no longer asks for it"
_GONE = "it is gone from the kernel"
_BY_HAND = "made by hand"
_LEFT = "left by a command that was killed, or made by hand"
_WORDS = {
    "delay_ms": "delay {} ms",
    "jitter_ms": "jitter {} ms",
    "rate_bit": "rate {} bit/s",
    "loss_percent": "loss {} %",
    "source": "src {}",
    "device": "dev {}",
    "master": "port of {}",
}
_WITHOUT = {"via": "no next hop", "device": "no device", "source": "no source", "master": "no bridge", "key": "no key"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A step, and why it is taken."""

    step: Step
    reason: str


def differences(applied: Plan | None, present: Plan, wanted: Plan) -> tuple[Difference, ...]:
    """The steps from `present`, which was observed, to `wanted`, each with its reason. `applied`: what the lab was made
    like before; None where that is not known for sure.
    """
    steps = diff(present, wanted)
    reasons = _Reasons(applied, wanted, steps)
    return tuple(Difference(step, reasons.of(step)) for step in steps)


def _key(each: KernelObject) -> Key:
    return type(each), each.identity


class _Reasons:
    def __init__(self, applied: Plan | None, wanted: Plan, steps: Sequence[Step]) -> None:
        self._known = applied is not None
        self._applied = {_key(each): each for each in applied.objects} if applied and steps else {}
        self._wanted = {_key(each): each for each in wanted.objects} if steps else {}
        self._created = {_key(step.new): step.new for step in steps if isinstance(step, Create)}
        self._deleted = {_key(step.old): step.old for step in steps if isinstance(step, Delete)}
        self._coming = {part for each in self._created.values() for part in makes(each)}
        for step in steps:
            if isinstance(step, Change):
                self._coming |= down(step.old) - down(step.new)
        self._networks = networks(wanted.objects) if steps else {}

    def of(self, step: Step) -> str:
        """Why `step` is taken."""
        match step:
            case Create(new=new) if _key(new) in self._deleted:
                return self._remade(self._deleted[_key(new)], new)
            case Create(new=new):
                return self._created_for(new)
            case Delete(old=old) if _key(old) in self._created:
                return self._remade(old, self._created[_key(old)])
            case Delete(old=old):
                return self._deleted_for(old)
            case Change(old=old, new=new):
                return self._changed(old, new)

    def _created_for(self, new: KernelObject) -> str:
        if _key(new) not in self._applied:
            return _ASKED
        base = self._base(new)
        return f"it went with {base}" if base else _GONE

    def _deleted_for(self, old: KernelObject) -> str:
        if _key(old) in self._wanted:
            # Reduced for a while: what it was to watch is made anew.
            return "made anew"
        if _key(old) in self._applied:
            return _NOT_ASKED
        if isinstance(old, Foreign) and makes(old) & self._coming:
            return f"in the way: {_part(min(makes(old)))} is made anew"
        return _BY_HAND if self._known or isinstance(old, Foreign) else _LEFT

    def _remade(self, old: KernelObject, new: KernelObject) -> str:
        if old != new:
            return f"made anew: {self._differing(old, new)}"
        base = self._base(new)
        return f"made anew: {base} is" if base else "made anew"

    def _base(self, each: KernelObject) -> str:
        """What an object lies on that is made as well, in words; "" where there is nothing like that."""
        under = sorted(lies_on(each, self._networks) & self._coming)
        if under:
            return _part(under[0])
        home = getattr(each, "namespace", "")
        return f"namespace {home}" if (Namespace, home) in self._created else ""

    def _changed(self, old: KernelObject, new: KernelObject) -> str:
        base = self._base(new)
        if isinstance(old, Process) and new != self._wanted[_key(new)]:
            return f"without what is made anew: {self._base(old)}"
        return f"made anew: {base} is" if isinstance(old, Process) and base else self._differing(old, new)

    def _differing(self, old: KernelObject, new: KernelObject) -> str:
        """What the kernel has that was not asked for, and what the description asks for that it did not before."""
        applied = self._applied.get(_key(new), new)
        if isinstance(old, Ruleset) and isinstance(new, Ruleset) and isinstance(applied, Ruleset):
            return _rules(old, new, applied)
        there, wanted, before = facts(old), facts(new), facts(applied)
        strayed, asked = [], []
        for name, (value, words) in wanted.items():
            if there[name][0] == value:
                continue
            if before[name][0] == value:
                strayed.append(there[name][1])
            else:
                asked.append(words)
        return _told(strayed, asked)


def _rules(old: Ruleset, new: Ruleset, applied: Ruleset) -> str:
    more, less = beyond(old, new), beyond(new, old)
    if meaning(applied.tables) != meaning(new.tables):
        return _told([], [*less, *(f"no {line}" for line in more)])
    told = [*more, *(f"no {line}" for line in less)]
    return _told(told or ["the same rules in another order"], [])


def _told(strayed: Sequence[str], asked: Sequence[str]) -> str:
    parts = [f"the kernel has {', '.join(strayed)}"] if strayed else []
    parts += [f"the description asks for {', '.join(asked)} now"] if asked else []
    return "; ".join(parts) or "it is not quite as it was"


def _part(part: Part) -> str:
    namespace, device, address = part
    return f"address {address}" if address else f"device {device} of {namespace}"


def facts(each: KernelObject) -> Facts:
    """What may differ between two objects of one identity."""
    match each:
        case Veth(a=a, b=b, mtu=mtu):
            return {"mtu": (mtu, f"mtu {mtu}"), **_end(a), **_end(b)}
        case Namespace(forwarding=forwarding, altered=altered):
            state = f"forwarding {'on' if forwarding else 'off'}"
            return {"forwarding": (forwarding, state), "altered": (altered, "it so that " + " and ".join(altered))}
        case Process(program=program, astray=astray):
            lost = "it in a namespace that is not the node's any more"
            return {"program": (program, "other settings for it"), "astray": (astray, lost)}
        case XfrmState(key=key):
            return {**_plain(each, "key"), "key": (key, f"key {key}" if key else "a key that is none of the lab's")}
        case _:
            return _plain(each)


def _end(end: End) -> Facts:
    place = f"{end.name} of {end.namespace}"
    port = f"{place} as port of {end.master}" if end.master else f"{place} as no port"
    return {
        f"{place} mac": (end.mac, f"{place} at {end.mac}"),
        f"{place} up": (end.up, f"{place} {'up' if end.up else 'down'}"),
        f"{place} master": (end.master, port),
    }


def _plain(each: KernelObject, *without: str) -> Facts:
    names = (field.name for field in fields(each) if field.name not in ("namespace", *without))
    return {name: (getattr(each, name), _fact(name, getattr(each, name))) for name in names}


def _fact(name: str, value: object) -> str:
    if value is None:
        return _WITHOUT.get(name, f"no {name}")
    if name == "up":
        return "it up" if value else "it down"
    if name == "isolated":
        return "it isolated from other tunnels" if value else "it not isolated from other tunnels"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, tuple):
        text = " to ".join(map(str, value))
    return _WORDS.get(name, f"{name} {{}}").format(text)
