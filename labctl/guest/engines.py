"""The guest engines by name: which can be used here, found by using them, and how each carries out a request."""

from __future__ import annotations

from labctl.errors import UsageError
from labctl.guest import stock, uml
from labctl.guest.choice import GUESTS, Availability
from labctl.guest.job import Launch, Request, Workspace

# Seconds until the job must have begun: many times what each engine takes (0.4 s, 3 s, 14 s).
BOOT_LIMIT = {"uml": 30.0, "kvm": 60.0, "tcg": 180.0}


def available(name: str) -> Availability:
    """Examine the guest engine `name` (uml, kvm or tcg) in about 0.1 s; raises UsageError for any other name."""
    match name:
        case "uml":
            return uml.available()
        case "kvm" | "tcg":
            return stock.available(name)
        case _:
            raise UsageError(f"no guest engine is called {name}: they are {', '.join(GUESTS)}")


def prepare(name: str, work: Workspace, request: Request) -> Launch:
    """How the engine `name`, which is available, carries out `request` with `work` as its directory."""
    return uml.prepare(work, request) if name == "uml" else stock.prepare(name, work, request)


def workspace_seen(name: str, work: Workspace) -> str:
    """The path at which a guest of the engine `name` has the directory `work`."""
    return str(work.root) if name == "uml" else stock.JOB


def channel_seen(name: str) -> str:
    """What a guest of the engine `name` has the byte stream at: a path, or the name of a virtio port."""
    return uml.CHANNEL if name == "uml" else stock.CHANNEL
