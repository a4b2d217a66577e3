"""The commands: each turns its arguments into a story of `labctl.lab` and the outcome into text or JSON."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from labctl import __version__
from labctl.cli.options import (
    AsJson,
    Evidence,
    Html,
    Junit,
    LabName,
    On,
    Only,
    Pause,
    Scale,
    Topology,
    Var,
    labs,
    shipped,
    topologies,
    words,
)

app = typer.Typer(
    name="labctl",
    help="A virtual network lab for cloud interconnection: cloud nouns on a real Linux datapath, proved by packets.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    only: Only = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab up.")] = False,
    time_scale: Scale = 0,
    junit: Junit = None,
    html: Html = None,
    evidence: Evidence = None,
    pause: Pause = False,
    var: Var = None,
    as_json: AsJson = False,
) -> None:
    """Bring a lab up, prove it, report, take it down."""
    from labctl.cli import outputs, proving

    asked = proving.Asked(",".join(only or ()), as_json, pause, outputs.prepare(junit, html, evidence))
    raise typer.Exit(proving.run(topology, on, asked, keep=keep, time_scale=time_scale, variables=var or ()))


@app.command()
def up(topology: Topology, on: On = "host", time_scale: Scale = 0, var: Var = None) -> None:
    """Bring a lab up and leave it up, on this machine's kernel or in a guest that stays."""
    from labctl.cli import raising

    raise typer.Exit(raising.up(topology, on, time_scale, var or ()))


@app.command()
def verify(
    name: LabName,
    only: Only = None,
    junit: Junit = None,
    html: Html = None,
    evidence: Evidence = None,
    pause: Pause = False,
    as_json: AsJson = False,
) -> None:
    """Prove a lab that is up."""
    from labctl.cli import guests, outputs

    prepared, wanted = outputs.prepare(junit, html, evidence), ",".join(only or ())
    if guests.holds(name):
        raise typer.Exit(guests.verify(name, wanted, prepared, pause=pause, as_json=as_json))
    from labctl.cli import proving

    raise typer.Exit(proving.verify(name, proving.Asked(wanted, as_json, pause, prepared)))


@app.command()
def down(
    name: Annotated[str, typer.Argument(help="The name of a lab.", autocompletion=labs)] = "",
    every: Annotated[bool, typer.Option("--all", help="Every lab of this machine.")] = False,
    check: Annotated[bool, typer.Option("--verify", help="Say what differs on the host from before the lab.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a lab down, whatever state it is in."""
    from labctl import state
    from labctl.cli import guests, taking_down
    from labctl.errors import UsageError

    if bool(name) == every:
        raise UsageError("down: give the name of one lab, or --all")
    names = [*guests.names(), *state.traces()] if every else [name]
    status = taking_down.take_down(names, check=check, as_json=as_json)
    if every:
        taking_down.sweep()
    raise typer.Exit(status)


@app.command()
def apply(
    topology: Topology,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and why.")] = False,
    time_scale: Annotated[
        int, typer.Option("--time-scale", min=0, max=100, help="Stretch timers (0: as those of the lab are).")
    ] = 0,
    var: Var = None,
    as_json: AsJson = False,
) -> None:
    """Make a lab as its file describes it, changing only what differs; one that is not up is brought up."""
    from labctl.cli import applying

    applying.apply(topology, dry_run=dry_run, time_scale=time_scale, variables=var or (), as_json=as_json)


@app.command()
def plan(
    topology: Topology,
    whole: Annotated[bool, typer.Option("--whole", help="All that must exist, though the lab is up.")] = False,
    commands: Annotated[bool, typer.Option("--commands", help="As a script of ip, tc, iptables and so on.")] = False,
    var: Var = None,
    as_json: AsJson = False,
) -> None:
    """Print what a topology becomes in the kernel; of a lab that is up, what differs from that. Nothing is changed."""
    from labctl.cli import applying

    if commands:
        applying.print_commands(topology, var or ())
    else:
        applying.plan(topology, whole=whole, variables=var or (), as_json=as_json)


@app.command()
def validate(topology: Topology, var: Var = None, as_json: AsJson = False) -> None:
    """Check a description; every fault is reported, nothing is created."""
    from labctl.cli import files

    described = files.read(topology, variables=var or ())
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
    from labctl.cli import guests

    guests.pass_on(name, heard=True)
    from labctl.cli import inside

    inside.become(name, node, command[1:] if command[0] == "--" and len(command) > 1 else command)


@app.command()
def shell(name: LabName, node: Annotated[str, typer.Argument(help="A node of the lab.")]) -> None:
    """Open a shell in a node."""
    from labctl.cli import guests

    guests.pass_on(name, heard=True)
    from labctl.cli import inside

    inside.become(name, node, [os.environ.get("SHELL", "/bin/sh")])


@app.command()
def inspect(
    name: LabName,
    drift: Annotated[bool, typer.Option("--drift", help="What is not as it was made, and why; 1 if anything.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a lab consists of, as the kernel has it now."""
    from labctl.cli import guests

    guests.pass_on(name)
    from labctl.cli import looking

    if drift:
        raise typer.Exit(looking.inspect_drift(name, as_json=as_json))
    looking.inspect(name, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the labs of this machine."""
    from labctl.cli import looking

    looking.show_labs(as_json=as_json)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The lab's name.")] = "",
    of: Annotated[
        str, typer.Option("--from", metavar="TOPOLOGY", help="Copy a shipped topology.", autocompletion=shipped)
    ] = "",
    shape: Annotated[str, typer.Option("--shape", help="Plain routers: chain, ring, star or leaf-spine.")] = "",
    nodes: Annotated[int, typer.Option("--nodes", help="How many routers.")] = 0,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The file; - is standard output. (default: NAME.yaml)")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a topology: a small one to start from, a copy of a shipped one, or routers of some shape."""
    from labctl.cli.creating import Wanted, create

    create(Wanted(name, shape, nodes, of, output, force))


@app.command()
def explain(
    word: Annotated[
        str,
        typer.Argument(help="A kind, a part of a claim, a unit (vpc, vpc.subnets, tcp, units).", autocompletion=words),
    ] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole reference, as Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Explain the description language: everything in one line each, or one word of it."""
    from labctl.cli import explaining

    explaining.explain(word, as_json=as_json, markdown=markdown)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a lab file, for editors and programs."""
    from labctl.cli import explaining

    print(explaining.schema(), end="")


@app.command()
def doctor(
    topology: Annotated[str, typer.Argument(help="Answer for this topology alone.", autocompletion=topologies)] = "",
    var: Var = None,
    as_json: AsJson = False,
) -> None:
    """Say which mechanisms and guest kernels this machine has, by trying them."""
    from labctl.cli import examining

    raise typer.Exit(examining.examine(topology, variables=var or (), as_json=as_json))


def _print_json(data: Any) -> None:
    print(json.dumps(data))
