"""Claims judged as `labctl verify` judges them: the same probe, the same prober, the same verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kernel_lab import Lab
from lies_claims import CLAIMS

from labctl.claims.expectations import Check
from labctl.claims.verdicts import Verdict, judge, settle, unproved
from labctl.describe import describe
from labctl.errors import LabError
from labctl.kernel.paths import Paths
from labctl.prove.bench import Bench

_NOTHING = b"lab: by-hand\nresources: {inet: {kind: internet, prefixes: [192.0.2.0/24]}}\n"


def at_once(paths: Paths, within_ms: float) -> None:
    """A lab that has no programs to wait for."""


def bench_of(lab: Lab, await_ready: Callable[[Paths, float], None] = at_once) -> Bench:
    """A bench for a lab that was made by hand, of which a description tells nothing."""
    return Bench(describe(_NOTHING, ""), lab.paths, {}, await_ready)


def verdict(bench: Bench, check: Check) -> Verdict:
    """The verdict on `check` beside its controls."""
    controls = [CLAIMS[word] for word in check.control]
    return settle([_probed(bench, each) for each in (*controls, check)])[-1]


def verdicts(bench: Bench, checks: Iterable[Check]) -> list[Verdict]:
    """The verdicts on `checks`, which hold all the controls that they stand on."""
    return list(settle([_probed(bench, each) for each in checks]))


def _probed(bench: Bench, check: Check) -> Verdict:
    try:
        return judge(check, bench.session().probe(bench.probe(check)))
    except LabError as error:
        return unproved(check, error.message)
