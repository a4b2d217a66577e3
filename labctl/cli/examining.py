"""`labctl doctor`: what this machine can do, found out by trying it, and how to get what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

from labctl.cli import files
from labctl.guest.choice import GUESTS
from labctl.guest.engines import available
from labctl.kernel import doctor
from labctl.plan.needs import Mechanism


def examine(topology: str, *, variables: Sequence[str], as_json: bool) -> int:
    """Examine for everything, or for one topology. The exit status: 0 if it can run somewhere, else 3."""
    if topology:
        from labctl.building import asked_by, mechanisms

        described = files.read(topology, variables=variables)
        wanted = (*mechanisms(described), *asked_by(described))
    else:
        wanted = get_args(Mechanism)
    findings = doctor.probe(wanted)
    engines = [available(name) for name in GUESTS]
    able = all(each.ok for each in findings) or any(each.ok for each in engines)
    if as_json:
        data = {"mechanisms": [asdict(each) for each in findings], "engines": [asdict(each) for each in engines]}
        print(json.dumps({**data, "topology": topology, "ok": able}))
    else:
        print("this machine's kernel and programs:")
        for finding in findings:
            _show(finding.mechanism, finding.ok, finding.detail, finding.remedy)
        print("guest kernels:")
        for engine in engines:
            _show(engine.name, engine.ok, engine.detail, engine.remedy)
    return 0 if able else 3


def _show(name: str, ok: bool, detail: str, remedy: str) -> None:
    print(f"  {'ok' if ok else 'missing':<8} {name:<26} {detail}")
    if not ok and remedy:
        print(f"  {'':<8} {'':<26} remedy: {remedy}")
