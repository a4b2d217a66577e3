"""`labctl down`: one lab or all of them, and on request the proof that the host is as before."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labctl import ending, state
from labctl.cli.terminal import Terminal
from labctl.cli.where import here
from labctl.errors import LabError, ProbeError, StateError
from labctl.guest import places
from labctl.kernel.paths import Paths
from labctl.services import processes
from labctl.services.control import known
from labctl.services.inhabitants import Inhabitant, inhabitants

if TYPE_CHECKING:
    from labctl.kernel.fingerprint import Difference, Fingerprint


@dataclass(frozen=True, slots=True)
class _Proof:
    """What was found out about one lab. `unproved`: why nothing could be compared, "" where it was."""

    differences: tuple[Difference, ...] = ()
    unproved: str = ""

    @property
    def status(self) -> int:
        """1 where something of the lab is left; 4 where the host differs by something that bears no mark of the lab,
        or cannot be compared.
        """
        if any(each.ours for each in self.differences):
            return 1
        return ProbeError.exit_code if self.differences or self.unproved else 0


def take_down(names: Sequence[str], *, check: bool, as_json: bool) -> int:
    """Take the labs down; what fails for one does not keep the others. The exit status."""
    faults: list[str] = []
    proofs: dict[str, _Proof] = {}
    with Terminal(quiet=as_json) as terminal:
        for name in names:
            try:
                proofs[name] = _take_one(name, terminal, check=check)
            except LabError as error:
                faults.append(f"{name}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    if as_json:
        print(json.dumps(_data(proofs, faults)))
    for fault in faults:
        print(f"labctl: {fault}", file=sys.stderr)
    statuses = [each.status for each in proofs.values()]
    return StateError.exit_code if faults else 1 if 1 in statuses else max(statuses, default=0)


def sweep() -> None:
    """Take away what killed commands left that belongs to no lab."""
    from labctl.guest import leftovers

    state.tidy()
    if here() == "host":
        leftovers.clear()


def _data(proofs: dict[str, _Proof], faults: Sequence[str]) -> dict[str, object]:
    from labctl.codec import encode

    return {
        "down": list(proofs),
        "differences": {name: encode(each.differences) for name, each in proofs.items()},
        "unproved": {name: each.unproved for name, each in proofs.items() if each.unproved},
        "errors": list(faults),
    }


def _take_one(name: str, terminal: Terminal, *, check: bool) -> _Proof:
    if places.guests().is_dir():  # else there are none, and none of that is imported
        from labctl.cli import guests

        if guests.holds(name):
            proof = _Proof(*guests.take_down(name, check=check))
            _tell(name, terminal, proof, [], found=True, compared=check and not proof.unproved)
            return proof
    paths = Paths(name)
    there = state.present(paths)
    before, unproved = _before(paths) if check and there else (None, "")
    inside, programs = inhabitants(paths), known(paths)
    found = ending.down(paths, terminal)
    if not found:
        sweep()  # it may have been in a guest kernel that ended with its command
    left = [each for each in inside if each.process not in programs and processes.alive(each.process)]
    differences: tuple[Difference, ...] = ()
    if before:
        differences = ending.restored(paths, before, [*programs, *(each.process for each in left)])
    proof = _Proof(differences, unproved)
    _tell(name, terminal, proof, left, found=found, compared=before is not None)
    return proof


def _before(paths: Paths) -> tuple[Fingerprint | None, str]:
    """The fingerprint from before the lab, or why there is none."""
    try:
        found = state.load_fingerprint(paths)
    except StateError as error:
        return None, error.message
    return found, "" if found else "its `up` did not come so far as to keep a fingerprint"


def _tell(
    name: str, terminal: Terminal, proof: _Proof, left: Sequence[Inhabitant], *, found: bool, compared: bool
) -> None:
    proved = ", and the host is as before" if compared and not proof.differences else ""
    terminal.say(f"{name} is down{proved}" if found else f"there is no lab {name}")
    for each in left:
        what = f"{each.name} (pid {each.process.pid})"
        terminal.say(f"{name}: {what} is still in a namespace of the lab: `kill {each.process.pid}` ends both")
    if proof.unproved:
        terminal.say(f"{name}: the host cannot be compared with before: {proof.unproved}")
    for section in proof.differences:
        for sign, lines in (("-", section.removed), ("+", section.added)):
            for line in lines:
                whose = "of this lab" if line in section.ours else "not of this lab"
                terminal.say(f"{name}: {sign} {section.section}: {line} ({whose})")
