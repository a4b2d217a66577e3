"""From a program's configuration to the program, its sockets open and ready to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, assert_never

from labctl.errors import StateError
from labctl.model.services import PathWatcher, Program, Resolver, Server, Vrrp
from labctl.plan.objects import Process
from labctl.services.keepalived import Keepalived
from labctl.services.nameserver import NameServer
from labctl.services.pathwatcher import Watcher
from labctl.services.server import BannerServer


class Service(Protocol):
    """A program that listens already."""

    def run(self) -> None:
        """Serve until killed."""

    def also(self, source: int, act: Callable[[], None]) -> None:
        """Have `run` call `act` whenever the file descriptor `source` can be read."""


def open_program(process: Process, report: Callable[[str, dict[str, str]], None], place: Path) -> Service:
    """The program of `process`, in the caller's namespace; it may `report` its state, in words and path by path, and
    keep files of its own in the directory `place`.

    LabError where it cannot have what it needs, e.g. KernelError for an address in use.
    """
    match process.program:
        case Resolver() as config:
            return NameServer(config, report)
        case Server() as config:
            return BannerServer(config)
        case PathWatcher() as config:
            return Watcher(config, process.namespace, report)
        case Vrrp() as config:
            return Keepalived(config, process.namespace, place, report)
        case never:
            assert_never(never)


def reconfigure(service: Service, program: Program) -> None:
    """Make a program that runs go on as `program`, with the clients and neighbours that it has.

    LabError where it cannot have what it needs; it then goes on as before. StateError for a program of another kind.
    """
    match service, program:
        case (NameServer(), Resolver()):
            service.reconfigure(program)
        case (BannerServer(), Server()):
            service.reconfigure(program)
        case (Watcher(), PathWatcher()):
            service.reconfigure(program)
        case (Keepalived(), Vrrp()):
            service.reconfigure(program)
        case _:
            raise StateError(f"{type(service).__name__} cannot become {type(program).__name__}")


def title(program: Program, namespace: str) -> str:
    """What `ps` calls the process."""
    match program:
        case Resolver():
            return f"resolver:{namespace}"
        case Server():
            return f"server:{namespace}"
        case PathWatcher():
            return f"paths:{namespace}"
        case Vrrp():
            return f"vrrp:{namespace}"
        case never:
            assert_never(never)
