"""Reads back what the kernel holds in a node. pyroute2's home: it reads well, and speed does not matter here."""

from __future__ import annotations

from typing import Any

from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths


def observe(paths: Paths, node: str) -> dict[str, Any]:
    """The devices of `node`: state, MTU, addresses; the loopback only where it has an address of the lab's.

    HostError without root.
    """
    from pyroute2 import IPRoute

    with enter(paths.namespace(node)), IPRoute() as kernel:
        devices = {link["index"]: _device(link) for link in kernel.get_links()}
        for address in kernel.get_addr(family=2):
            local = address.get_attr("IFA_LOCAL")
            if not local.startswith("127."):
                devices[address["index"]][1]["addresses"].append(f"{local}/{address['prefixlen']}")
    return {name: facts for name, facts in devices.values() if name != "lo" or facts["addresses"]}


def _device(link: Any) -> tuple[str, dict[str, Any]]:
    # A tunnel device has no carrier to lose: its operational state stays UNKNOWN while it is up (RFC 2863).
    state = "up" if link["flags"] & 1 and link.get_attr("IFLA_OPERSTATE") in ("UP", "UNKNOWN") else "down"
    return link.get_attr("IFLA_IFNAME"), {"state": state, "mtu": link.get_attr("IFLA_MTU"), "addresses": []}
