"""`labctl run` and `labctl verify`: where a lab is proved, and what is told of it afterwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labctl import lab, state
from labctl.claims.results import Results
from labctl.cli import files, where
from labctl.cli.outputs import Outputs, refuse_in_guest
from labctl.cli.pausing import Pausing, refuse_unattended
from labctl.cli.terminal import Terminal, put
from labctl.describe import Described, describe
from labctl.errors import UsageError
from labctl.kernel.paths import Paths
from labctl.prove.prover import chosen


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be proved (`only` these, comma-separated; "" everything), and how it is to be told."""

    only: str
    as_json: bool
    pause: bool
    outputs: Outputs

    @property
    def ids(self) -> list[str]:
        """The names in `only`."""
        return [word.strip() for word in self.only.split(",") if word.strip()]

    def terminal(self, described: Described, *, ending: bool) -> Terminal:
        """Who is told how it gets on. `ending`: the lab is to be taken down in the end."""
        if self.pause:
            return Pausing(described, quiet=self.as_json, ending=ending)
        return Terminal(quiet=self.as_json)


def run(topology: str, on: str, asked: Asked, *, keep: bool, time_scale: int, variables: Sequence[str]) -> int:
    """Bring a lab up where it can be, prove it, take it down; the exit status."""
    described = files.read(topology, time_scale or 1, variables)
    chosen(described, asked.ids)
    choice = where.decide(on, described)
    if where.here() == "host":
        print(f"{described.name}: {choice.reason}", file=sys.stderr, flush=True)
    if choice.engine != "host":
        read = files.read_from(described)
        return _run_in_guest(choice.engine, read, asked, keep=keep, time_scale=time_scale, variables=variables)
    began = datetime.now(UTC)
    with asked.terminal(described, ending=not keep) as terminal:
        results = lab.run(
            described,
            Paths(described.name),
            asked.ids,
            terminal,
            keep=keep,
            where=where.here(),
            evidence=asked.outputs.evidence,
        )
    return _conclude(results, described, asked, began)


def _run_in_guest(
    engine: str, read: Sequence[Path], asked: Asked, *, keep: bool, time_scale: int, variables: Sequence[str]
) -> int:
    if keep:
        raise UsageError("--keep: a guest kernel ends with this command, the lab with it", hint="labctl up keeps one")
    refuse_in_guest(asked.outputs.evidence)
    if asked.pause:
        refuse_unattended(engine)
    scale = time_scale or (where.SLOW_SCALE if engine == "tcg" else 1)
    arguments = [*(["--only", asked.only] if asked.only else []), *(["--json"] if asked.as_json else [])]
    arguments += ["--pause-on-fail"] if asked.pause else []
    arguments += [f"--var={word}" for word in variables]
    return where.run_in_guest(engine, read, scale, arguments, asked.outputs, pausing=asked.pause)


def verify(name: str, asked: Asked) -> int:
    """Prove a lab that is up; the exit status."""
    saved = state.load(Paths(name))
    described = describe(saved.description.encode(), saved.journal.source, saved.journal.time_scale)
    began = datetime.now(UTC)
    with asked.terminal(described, ending=False) as terminal:
        results = lab.verify(
            described, Paths(name), asked.ids, terminal, where=where.here(), evidence=asked.outputs.evidence
        )
    return _conclude(results, described, asked, began)


def _conclude(results: Results, described: Described, asked: Asked, began: datetime) -> int:
    from labctl.report.data import results_data
    from labctl.report.text import summary

    if asked.as_json:
        print(json.dumps(results_data(results)))
    else:
        put(summary(results))
    asked.outputs.write(_reports(results, described, asked.outputs.reports, began))
    return results.exit_code


def _reports(results: Results, described: Described, options: Collection[str], began: datetime) -> dict[str, bytes]:
    """The reports that were asked for, by their options."""
    when = began.isoformat(timespec="seconds")
    texts = {}
    if "--junit" in options:
        from labctl.report.junit import to_junit

        texts["--junit"] = to_junit(results, when)
    if "--html" in options:
        from labctl.report.html import to_html

        texts["--html"] = to_html(described, results, when)
    return {option: text.encode(errors="replace") for option, text in texts.items()}
