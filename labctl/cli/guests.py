"""Labs that live in guests: commands about one are carried out in its guest, by the same labctl with the same words."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.cli.where import ATTENDED, SLOW_SCALE, WHERE, here
from labctl.errors import GuestError, StateError
from labctl.guest import record
from labctl.guest.record import Place

if TYPE_CHECKING:
    from labctl.cli.outputs import Outputs
    from labctl.describe import Described
    from labctl.guest.choice import Choice
    from labctl.guest.frames import Start
    from labctl.kernel.fingerprint import Difference
    from labctl.state import LabSummary

_CARRIED = ("TERM", "COLORTERM", "NO_COLOR", "SHELL")
"""What a job has of our environment."""

_ALONE = ("apply", "verify")
"""Commands that take their turns, as on the host."""

_OWN = ("/dev", "/proc", "/sys")
"""Directories in which a guest can be shown nothing of the host's."""


def holds(lab: str) -> bool:
    """Whether the lab lives in a guest of this user, or did until that died."""
    return here() == "host" and record.present(Place(lab))


def names() -> list[str]:
    """The labs in guests."""
    return [each.lab for each in record.labs()] if here() == "host" else []


def summaries() -> list[LabSummary]:
    """The labs in guests, as lines of `labctl list`."""
    from labctl.state import LabSummary

    found = []
    for each in record.labs() if here() == "host" else ():
        written = each.record
        facts = (written.source, written.created_at, written.engine, written.nodes) if written else ()
        found.append(LabSummary(each.lab, each.state, *facts))
    return found


def pass_on(lab: str, *, heard: bool = False, described: Described | None = None) -> None:
    """Carry out this very command in the guest that the lab lives in, and exit with its status; return where it lives
    in none. `heard`: our input is its own; `described`: it reads that description. GuestError where the guest is dead.
    """
    if holds(lab):
        sys.exit(_carry_out(lab, sys.argv[1:], heard=heard, described=described))


def verify(lab: str, only: str, outputs: Outputs, *, pause: bool, as_json: bool) -> int:
    """Prove a lab that lives in a guest; the exit status."""
    from labctl.cli.outputs import refuse_in_guest as refuse_covered

    refuse_covered(outputs.evidence)
    words = ["verify", lab, *(["--only", only] if only else []), *(["--json"] if as_json else [])]
    return _carry_out(lab, [*words, *(["--pause-on-fail"] if pause else [])], heard=pause, outputs=outputs)


def _carry_out(
    lab: str,
    words: Sequence[str],
    *,
    heard: bool,
    described: Described | None = None,
    outputs: Outputs | None = None,
) -> int:
    from labctl.guest import client

    place = Place(lab)
    match record.condition(place):
        case "starting":
            raise StateError(f"lab {lab} is being brought up in a guest", hint="labctl list tells when it is up")
        case "up":
            pass
        case _:
            raise record.dead(place)
    with ExitStack() as stack:
        if words[0] in _ALONE:
            stack.enter_context(_lock(place, words[0]))
        shown, further = stack.enter_context(_handed(place, described, outputs))
        connection = stack.enter_context(client.reached(place))
        start = _start(place, [*_placed(words, described), *further], shown, heard=heard)
        return client.perform(connection, start, place)


def up(choice: Choice, described: Described, time_scale: int) -> int:
    """Bring a lab up in a new guest, which stays; the exit status. Unless it is 0, nothing is left."""
    from datetime import UTC, datetime

    from labctl.cli.terminal import Waiting
    from labctl.guest import client, staying
    from labctl.guest.frames import Kind
    from labctl.plan.objects import Namespace

    place = Place(described.name)
    refuse_on_host(described.name)
    scale = time_scale or (SLOW_SCALE if choice.engine == "tcg" else 1)
    nodes = sum(isinstance(each, Namespace) for each in described.plan.objects)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    written = record.Record(described.name, choice.engine, described.source, nodes, now)
    words = ["up", described.source, "--on", "host", "--time-scale", str(scale)]
    with (
        _lock(place, "up"),
        staying.raised(place, written) as connection,
        Waiting(f"starting a kernel ({choice.engine}), and the lab in it") as out,
    ):

        def sink(kind: Kind, data: bytes) -> None:
            out.write(b"")  # it stops spinning
            client.write(kind, data)

        place.description.write_bytes(described.text)
        shown = {place.description.name: str(Path(_seen(described.source)).absolute())}
        # Not at our terminal: Ctrl-C must end a boot, too.
        start = _start(place, _placed(words, described), shown, at_terminal=False)
        return client.perform(connection, start, place, sink)


def refuse_on_host(lab: str) -> None:
    """StateError where the lab is up on the host itself."""
    from labctl.kernel.paths import Paths

    if os.path.lexists(Paths(lab).root):
        raise StateError(f"lab {lab} is already up on the host", hint=f"labctl down {lab}")


def refuse_in_guest(lab: str) -> None:
    """GuestError where the lab lives in a guest."""
    if holds(lab):
        raise GuestError(f"lab {lab} is there already, in a guest", hint=f"labctl down {lab}")


def take_down(lab: str, *, check: bool) -> tuple[tuple[Difference, ...], str]:
    """End the guest, and with it the lab. With `check` the lab is taken down in it first: what differs there from
    before the lab, and why that cannot be said, "" where it can.
    """
    from labctl.guest import staying

    place = Place(lab)
    with _lock(place, "down"):
        try:
            return _compared(place) if check else ((), "")
        finally:
            staying.end(place)


def _compared(place: Place) -> tuple[tuple[Difference, ...], str]:
    from labctl.codec import decode
    from labctl.guest import client
    from labctl.guest.frames import Kind
    from labctl.kernel.fingerprint import Difference

    told: dict[Kind, bytes] = {Kind.OUTPUT: b"", Kind.ERRORS: b""}

    def sink(kind: Kind, data: bytes) -> None:
        told[kind] += data

    try:
        with client.reached(place) as connection:
            words = ["down", place.lab, "--verify", "--json"]
            client.perform(connection, _start(place, words, {}, at_terminal=False), place, sink)
        data = json.loads(told[Kind.OUTPUT])
        found: tuple[Difference, ...] = decode(tuple[Difference, ...], data["differences"][place.lab])
        return found, data["unproved"].get(place.lab, "")
    except GuestError as error:
        return (), error.message
    except (ValueError, KeyError, TypeError):
        return (), told[Kind.ERRORS].decode(errors="replace").strip() or "its guest did not say"


def _start(
    place: Place, words: Sequence[str], shown: Mapping[str, str], *, heard: bool = False, at_terminal: bool = True
) -> Start:
    from labctl.cli.terminal import FORCE_COLOR, width
    from labctl.guest.client import window
    from labctl.guest.frames import Start

    environment = {WHERE: record.read(place).engine}
    environment |= {name: os.environ[name] for name in _CARRIED if name in os.environ}
    terminal = window() if at_terminal else None
    if terminal is None and at_terminal and sys.stdout.isatty():
        environment |= {FORCE_COLOR: "1", "COLUMNS": str(width())}
    if heard and sys.stdin.isatty() and sys.stderr.isatty():
        environment[ATTENDED] = "1"
    return Start(words, str(Path.cwd()), environment, terminal, heard, shown)


def _lock(place: Place, command: str) -> AbstractContextManager[None]:
    from labctl import state
    from labctl.kernel.paths import Paths

    return state.lock(Paths(place.lab, place.home), command)


# -- files


@contextmanager
def _handed(
    place: Place, described: Described | None, outputs: Outputs | None
) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Within, the guest's workspace has what the job reads and writes: what is to be shown where, and further words.

    A description is handed over as it was read, and seen where it lies on the host. Reports and evidence are brought
    to their places afterwards.
    """
    if described is None and outputs is None:
        yield {}, []
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="files-", dir=place.work) as name:
        folder = Path(name)
        shown: dict[str, str] = {}
        if described is not None:
            file = folder / "description.yaml"
            file.write_bytes(described.text)
            shown[f"{folder.name}/{file.name}"] = str(Path(_seen(described.source)).absolute())
        if outputs is None:
            yield shown, []
            return
        with outputs.handed(folder) as (words, kept):
            yield {**shown, **{f"{folder.name}/{each.name}": str(path) for each, path in kept.items()}}, words


def _seen(source: str) -> str:
    """Where a guest sees the description: at its own path, unless nothing can be put there."""
    own = str(Path(source).absolute()).startswith(tuple(f"{each}/" for each in _OWN))
    return f"/tmp/{Path(source).name}" if own else source


def _placed(words: Sequence[str], described: Described | None) -> list[str]:
    """The words, with the description where the guest sees it."""
    return [_seen(word) if described and word == described.source else word for word in words]
