"""What is kept of a verdict that is no pass: packets, tables and logs in a directory of its own.

A directory belongs to one run and is made when something is kept, so that nothing is ever written over.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from labctl import state
from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.codec import encode
from labctl.errors import HostError, LabError
from labctl.kernel import tables
from labctl.kernel.paths import Paths
from labctl.probes.wire import Saved
from labctl.services.keeper import Keeper

README, VERDICT, PROGRAMS, LOG = "README.txt", "verdict.json", "PROGRAMS.txt", "supervisor.log"
"""The files beside NODE.txt, none of which a node can be named for, and the packets."""


class Bundles:
    """The bundles of one run of the lab at `paths`: ROOT/LAB-YYYYmmdd-HHMMSS/ID, the time being the local one."""

    def __init__(self, paths: Paths, root: Path, lab: str) -> None:
        self._paths = paths
        self._root = root.absolute()
        self._lab = lab
        self._run: Path | None = None

    def keep(self, verdict: Verdict | StreamVerdict, nodes: Sequence[str], save: Callable[[Path], Saved]) -> str:
        """Keep all that can be had of `verdict` with the tables of `nodes`; the directory's name.

        `save` writes the last packets captured to a directory. What cannot be read, and packets that cannot be had,
        are said inside. HostError where the directory cannot be written.
        """
        try:
            if self._run is None:
                self._root.mkdir(parents=True, exist_ok=True)
                self._run = _fresh(self._root, f"{self._lab}-{datetime.now():%Y%m%d-%H%M%S}")
            place = _fresh(self._run, verdict.id)
            self._fill(place, replace(verdict, evidence=str(place)), nodes, save)
        except OSError as error:
            raise HostError(f"no evidence can be kept in {error.filename or self._root}: {error.strerror}") from error
        return str(place)

    def _fill(
        self, place: Path, verdict: Verdict | StreamVerdict, nodes: Sequence[str], save: Callable[[Path], Saved]
    ) -> None:
        packets = _packets(place, save)
        for node in nodes:
            _write(place / f"{node}.txt", tables.read(self._paths, node))
        _write(place / PROGRAMS, "".join(f"{line}\n" for line in _programs(self._paths)))
        _write(place / LOG, _log(self._paths))
        _write(place / VERDICT, json.dumps(encode(verdict), indent=1) + "\n")
        _write(place / README, "".join(f"{line}\n" for line in self._guide(verdict, nodes, packets)))

    def _guide(self, verdict: Verdict | StreamVerdict, nodes: Sequence[str], packets: Sequence[str]) -> Iterator[str]:
        about = f": {verdict.about}" if verdict.about else ""
        yield f"{verdict.id} of the lab {self._lab}{about}"
        yield f"{verdict.verdict}: {verdict.reason}"
        yield ""
        yield "This is how the lab stood when that was found out."
        yield ""
        yield f"{VERDICT}: what was expected and what was found."
        for node in nodes:
            yield f"{node}.txt: the tables of the node {node}; keys are left out."
        yield f"{PROGRAMS}: the programs of the lab, and the paths that they watch."
        yield f"{LOG}: what the programs printed."
        yield from packets
        yield ""
        yield f"To see it again: labctl run {shlex.quote(self._source())} --only {verdict.id}"

    def _source(self) -> str:
        """Where the lab's description was read from."""
        try:
            return state.load(self._paths).journal.source
        except LabError:
            return self._lab


def _fresh(folder: Path, name: str) -> Path:
    """A new directory in `folder`: `name`, or with a number after it where that is taken."""
    number = 1
    while True:
        place = folder / (name if number == 1 else f"{name}-{number}")
        try:
            place.mkdir()
        except FileExistsError:
            number += 1
        else:
            return place


def _write(file: Path, text: str) -> None:
    """File names in `text` may be of any bytes."""
    file.write_bytes(text.encode(errors="surrogateescape"))


def _packets(place: Path, save: Callable[[Path], Saved]) -> list[str]:
    """What there is to say of the packets in `place`."""
    try:
        saved = save(place)
    except LabError as error:
        return [f"No packets: {error.message}"]
    said = [f"{name}: packets as captured; tcpdump -nr {shlex.quote(str(place / name))}" for name in saved.files]
    said += [f"{name} is not complete: there was no room for every packet." for name in saved.cut]
    return said or ["No packets: nothing was captured."]


def _programs(paths: Paths) -> Iterator[str]:
    try:
        for each in Keeper(paths).status():
            watched = "".join(f" {path}={condition}" for path, condition in each.paths.items())
            yield f"{each.namespace}/{each.name}: {each.state} pid {each.pid}{watched} {each.detail}".rstrip()
    except LabError as error:
        yield f"nothing can be read: {error.message}"


def _log(paths: Paths) -> str:
    try:
        return paths.log.read_text(errors="replace")
    except OSError as error:
        return f"nothing can be read: {error.strerror}\n"
