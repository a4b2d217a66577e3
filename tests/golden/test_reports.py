"""What a run's results look like, as text and as JSON: results.txt and results.json beside this file.

After a deliberate change: LABCTL_GOLDEN=write pytest tests/golden, and read the difference.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from labctl.probes.drills import DrillVerdict
from labctl.probes.results import Results
from labctl.probes.verdicts import Verdict
from labctl.probes.wire import Flow
from labctl.report.data import results_data
from labctl.report.text import check_lines, drill_lines, summary

HERE = Path(__file__).parent

INNER = Flow("", "", "", "tcp", "172.20.10.10", "192.168.50.10", sport=40000, dport=22)
COUNTED = Flow("", "", "", "", "", "", packets=9, data=1200, longest=160, hop_limit=64, first_ms=12.5, last_ms=40.25)
ESP = replace(
    COUNTED, tap="inet", namespace="inet.0", device="cpe", proto="esp", src="203.0.113.2", dst="198.51.100.2", spi=4098
)
GRE = replace(
    COUNTED, tap="dl", namespace="dl", device="classic", proto="gre", src="10.148.252.83", dst="172.16.3.1", inner=INNER
)
MARKED_GRE = replace(GRE, marked=9, first_ms=11.5, first_marked_ms=12.0)

CHECKS = (
    Verdict("P1", "it is reached", "pass", "ok, from server s", "ok, from server s", "", (), 12.34, (ESP, MARKED_GRE)),
    Verdict("N1", "", "fail", "no_route, by vra", "filtered", "expected no_route, got filtered", ("P1",), 1000.4),
    Verdict("N2", "a claim", "inconclusive", "filtered", "filtered", "proves nothing without its control", ("P9",)),
    Verdict("N3", "a dead prober", "inconclusive", "refused", "nothing", "the prober died", ("P1",)),
)
PARTS = {"before": (ESP,), "switching": (), "meanwhile": (), "repairing": (), "after": (GRE,)}
TCP = "intact, longest stall 210 ms"
DRILLS = (
    DrillVerdict("D1", "the link goes down", "pass", "", 400, 12, 0, 1, 0, 130.04, 121.96, TCP, PARTS),
    DrillVerdict("D2", "it never comes back", "fail", "not restored before the repair", 400, 250, 0, 0, 3, 2500.0),
    DrillVerdict("D3", "it did not run", "inconclusive", "the prober died"),
)
RESULTS = Results("pvs", "uml 6.12", 2, CHECKS, DRILLS, {"up": 0.412, "verify": 8.05, "down": 0.03})


def compare(found: str, golden: Path) -> None:
    if os.environ.get("LABCTL_GOLDEN") == "write":
        golden.write_text(found)
    assert found == golden.read_text()


def test_results_look_like_this_to_people() -> None:
    lines = [line for check in RESULTS.checks for line in check_lines(check)]
    lines += [line for drill in RESULTS.drills for line in drill_lines(drill)]
    compare("".join(f"{line}\n" for line in [*lines, summary(RESULTS)]), HERE / "results.txt")


def test_results_look_like_this_to_programs() -> None:
    compare(json.dumps(results_data(RESULTS), indent=1) + "\n", HERE / "results.json")
