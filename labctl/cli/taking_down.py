"""`labctl down`: one lab or all of them, and on request the proof that the host is as before."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from labctl import lab, state
from labctl.cli.terminal import Terminal
from labctl.codec import encode
from labctl.errors import LabError, StateError
from labctl.kernel.fingerprint import Difference
from labctl.kernel.paths import Paths


def take_down(names: Sequence[str], *, check: bool, as_json: bool) -> int:
    """Take the labs down; what fails for one does not keep the others. The exit status."""
    faults: list[str] = []
    differences: dict[str, tuple[Difference, ...]] = {}
    with Terminal(quiet=as_json) as terminal:
        for name in names:
            try:
                differences[name] = _take_one(name, terminal, check=check)
            except LabError as error:
                faults.append(f"{name}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    if as_json:
        print(json.dumps({"down": list(differences), "differences": encode(differences), "errors": faults}))
    else:
        _tell(differences, faults)
    if faults:
        return StateError.exit_code
    return 1 if any(differences.values()) else 0


def _tell(differences: dict[str, tuple[Difference, ...]], faults: Sequence[str]) -> None:
    for name, found in differences.items():
        for each in found:
            print(f"{name}: {each.section} differs from before: removed {list(each.removed)}, added {list(each.added)}")
    for fault in faults:
        print(f"labctl: {fault}", file=sys.stderr)


def _take_one(name: str, terminal: Terminal, *, check: bool) -> tuple[Difference, ...]:
    paths = Paths(name)
    before = state.load_fingerprint(paths) if check and state.present(paths) else None
    found = lab.down(paths, terminal)
    differences = lab.restored(paths, before) if before else ()
    proved = ", and the host is as before" if before and not differences else ""
    terminal.say(f"{name} is down{proved}" if found else f"there is no lab {name}")
    return differences
