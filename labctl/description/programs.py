"""The programs that run in nodes, as descriptions call them: those that a fault can kill or freeze alone."""

from __future__ import annotations

PROGRAMS: dict[str, str] = {
    "resolver": "a DNS server",
    "server": "the test servers of a node",
    "watcher": "what watches the paths of a gateway (BFD)",
    "vrrp": "what makes one of several routers the MASTER (VRRP)",
}
"""Each name is that of its process in the plan."""
