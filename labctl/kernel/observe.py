"""Reads back what the kernel holds in a node. pyroute2's home: it reads well, and speed does not matter here."""

from __future__ import annotations

from typing import Any

from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths


def observe(paths: Paths, node: str) -> dict[str, Any]:
    """The devices of `node` but its loopback: state, MTU, addresses. HostError without root."""
    from pyroute2 import IPRoute

    with enter(paths.namespace(node)), IPRoute() as kernel:
        devices = {link["index"]: _device(link) for link in kernel.get_links() if link.get_attr("IFLA_IFNAME") != "lo"}
        for address in kernel.get_addr(family=2):
            if address["index"] in devices:
                text = f"{address.get_attr('IFA_LOCAL')}/{address['prefixlen']}"
                devices[address["index"]][1]["addresses"].append(text)
    return dict(devices.values())


def _device(link: Any) -> tuple[str, dict[str, Any]]:
    # A tunnel device has no carrier to lose: its operational state stays UNKNOWN while it is up (RFC 2863).
    state = "up" if link["flags"] & 1 and link.get_attr("IFLA_OPERSTATE") in ("UP", "UNKNOWN") else "down"
    return link.get_attr("IFLA_IFNAME"), {"state": state, "mtu": link.get_attr("IFLA_MTU"), "addresses": []}
