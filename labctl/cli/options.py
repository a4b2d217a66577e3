"""The options and arguments that several commands share, and how a shell completes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def topologies(incomplete: str) -> list[str]:
    """Completion: shipped topologies and files."""
    from labctl.cli import files

    return files.completions(incomplete)


def labs(incomplete: str) -> list[str]:
    """Completion: labs that are up, here or in a guest."""
    from labctl import state
    from labctl.cli import guests

    return [name for name in (*guests.names(), *(each.lab for each in state.labs())) if name.startswith(incomplete)]


def shipped(incomplete: str) -> list[str]:
    """Completion: topologies that come with labctl."""
    from labctl.cli import files

    return [name for name in files.shipped() if name.startswith(incomplete)]


def words(incomplete: str) -> list[str]:
    """Completion: what `explain` knows."""
    from labctl.report import topics

    return [word for word in topics.every_topic() if word.startswith(incomplete)]


Topology = Annotated[
    str, typer.Argument(help="A topology file, or the name of a shipped topology.", autocompletion=topologies)
]
LabName = Annotated[str, typer.Argument(help="The name of a lab that is up.", autocompletion=labs)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")]
On = Annotated[str, typer.Option("--on", help="The kernel to run on: auto, host, kvm, uml or tcg.")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", help="These checks, drills and changes alone (P1,N2), with their controls; may be given again."
    ),
]
Scale = Annotated[int, typer.Option("--time-scale", min=0, max=100, help="Stretch timers and bounds (0: as needed).")]
Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML, whatever they are.")
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a report to be read in a browser, all in one file.")
]
Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        metavar="DIR",
        help="Keep packets, tables and logs of what does not pass in DIR/LAB-DATE-TIME; made only then. "
        "(default: labctl-evidence)",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="The value of ${NAME} in the description; may be given again."),
]
Pause = Annotated[
    bool,
    typer.Option(
        "--pause-on-fail",
        help="Stop where something does not pass, with the lab as it stands: at a terminal until Enter, "
        "else leave it up and end.",
    ),
]
