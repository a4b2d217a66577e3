"""The commands: each turns its arguments into a story of `labctl.lab` and the outcome into text or JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from labctl import __version__

app = typer.Typer(
    name="labctl",
    help="A virtual network lab for cloud interconnection: cloud nouns on a real Linux datapath, proved by packets.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _topologies(incomplete: str) -> list[str]:
    from labctl.cli import files

    return files.completions(incomplete)


def _labs(incomplete: str) -> list[str]:
    from labctl import state

    return [each.lab for each in state.labs() if each.lab.startswith(incomplete)]


Topology = Annotated[
    str, typer.Argument(help="A topology file, or the name of a shipped topology.", autocompletion=_topologies)
]
LabName = Annotated[str, typer.Argument(help="The name of a lab that is up.", autocompletion=_labs)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")]
On = Annotated[str, typer.Option("--on", help="The kernel to run on: auto, host, kvm, uml or tcg.")]
Only = Annotated[
    str, typer.Option("--only", help="These checks, drills and changes alone (P1,N2), with their controls.")
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
Pause = Annotated[
    bool,
    typer.Option(
        "--pause-on-fail",
        help="Stop where something does not pass, with the lab as it stands: at a terminal until Enter, "
        "else leave it up and end.",
    ),
]


@app.callback(invoke_without_command=True)
def labctl(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """A virtual network lab for cloud interconnection."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def run(
    topology: Topology,
    on: On = "auto",
    only: Only = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab up.")] = False,
    time_scale: Scale = 0,
    junit: Junit = None,
    html: Html = None,
    evidence: Evidence = None,
    pause: Pause = False,
    as_json: AsJson = False,
) -> None:
    """Bring a lab up, prove it, report, take it down."""
    from labctl.cli import outputs, proving

    asked = proving.Asked(only, as_json, pause, outputs.prepare(junit, html, evidence))
    raise typer.Exit(proving.run(topology, on, asked, keep=keep, time_scale=time_scale))


@app.command()
def up(topology: Topology, on: On = "host", time_scale: Scale = 1) -> None:
    """Bring a lab up and leave it up."""
    from labctl import lab
    from labctl.cli import files, where
    from labctl.cli.terminal import Terminal
    from labctl.errors import UsageError
    from labctl.kernel.paths import Paths

    described = files.read(topology, time_scale or 1)
    choice = where.decide(on, described)
    if choice.engine != "host":
        hint = f"labctl run {topology} --on {choice.engine} proves it there; up needs a kernel that has everything"
        raise UsageError(f"up: a lab in a guest kernel ({choice.engine}) ends with its command", hint=hint)
    with Terminal() as terminal:
        lab.up(described, Paths(described.name), terminal, where.here())
        terminal.say(f"{described.name} is up: `labctl verify {described.name}`, `labctl down {described.name}`")


@app.command()
def verify(
    name: LabName,
    only: Only = "",
    junit: Junit = None,
    html: Html = None,
    evidence: Evidence = None,
    pause: Pause = False,
    as_json: AsJson = False,
) -> None:
    """Prove a lab that is up."""
    from labctl.cli import outputs, proving

    asked = proving.Asked(only, as_json, pause, outputs.prepare(junit, html, evidence))
    raise typer.Exit(proving.verify(name, asked))


@app.command()
def down(
    name: Annotated[str, typer.Argument(help="The name of a lab.", autocompletion=_labs)] = "",
    every: Annotated[bool, typer.Option("--all", help="Every lab of this machine.")] = False,
    check: Annotated[bool, typer.Option("--verify", help="Say what differs on the host from before the lab.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a lab down, whatever state it is in."""
    from labctl import state
    from labctl.cli import taking_down
    from labctl.errors import UsageError

    if bool(name) == every:
        raise UsageError("down: give the name of one lab, or --all")
    names = [each.lab for each in state.labs()] if every else [name]
    raise typer.Exit(taking_down.take_down(names, check=check, as_json=as_json))


@app.command()
def plan(topology: Topology, as_json: AsJson = False) -> None:
    """Print what a topology becomes in the kernel; nothing is created."""
    from labctl.cli import files
    from labctl.codec import encode
    from labctl.plan.render import render_plan

    described = files.read(topology)
    print(json.dumps(encode(described.plan)) if as_json else render_plan(described.plan).rstrip())


@app.command()
def validate(topology: Topology, as_json: AsJson = False) -> None:
    """Check a description; every fault is reported, nothing is created."""
    from labctl.cli import files

    described = files.read(topology)
    claims = {"checks": described.checks, "drills": described.drills, "changes": described.changes}
    counts = ", ".join(
        [f"{len(described.plan.objects)} objects", *(f"{len(each)} {what}" for what, each in claims.items())]
    )
    if as_json:
        _print_json({"file": topology, "message": counts, "faults": []})
    else:
        print(f"{described.source}: ok: {counts}")


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec_(
    name: LabName,
    node: Annotated[str, typer.Argument(help="A node of the lab.")],
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
) -> None:
    """Run a command in a node."""
    from labctl.cli import inside

    inside.become(name, node, command[1:] if command[0] == "--" and len(command) > 1 else command)


@app.command()
def shell(name: LabName, node: Annotated[str, typer.Argument(help="A node of the lab.")]) -> None:
    """Open a shell in a node."""
    from labctl.cli import inside

    inside.become(name, node, [os.environ.get("SHELL", "/bin/sh")])


@app.command()
def inspect(name: LabName, as_json: AsJson = False) -> None:
    """Show what a lab consists of, as the kernel has it now."""
    from labctl.cli import looking

    looking.inspect(name, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the labs of this machine."""
    from labctl.cli import looking

    looking.show_labs(as_json=as_json)


@app.command()
def doctor(
    topology: Annotated[str, typer.Argument(help="Answer for this topology alone.", autocompletion=_topologies)] = "",
    as_json: AsJson = False,
) -> None:
    """Say which mechanisms and guest kernels this machine has, by trying them."""
    from labctl.cli import examining

    raise typer.Exit(examining.examine(topology, as_json=as_json))


def _print_json(data: Any) -> None:
    print(json.dumps(data))
