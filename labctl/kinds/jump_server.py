"""A jump server: the machine to log in to before going further. It routes nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import Ref
from labctl.description.words import ADDRESS
from labctl.kinds.base import Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpServer:
    """A server to log in to before going further. It routes nothing itself."""

    kind: ClassVar[str] = "jump_server"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "A node that does not forward, plugged into the subnet, with a default route to the subnet's router and a "
        "test server at tcp/22."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, Power Systems Virtual Servers: Network architecture diagrams for non-PER",
    )
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
cnet: {kind: classic_network, on: bb, subnets: {app: {prefix: 10.148.252.64/26}}}
jump: {kind: jump_server, subnet: cnet.app, address: 10.148.252.70}
"""

    never: ClassVar[dict[str, str]] = {"ip_forward": "a jump server routes nothing: one logs in to it, and on from it"}

    subnet: str = option(Ref(("subnet",)), "the subnet that it is in, such as cnet.app")
    address: IPv4Address = option(ADDRESS, "its address in the subnet")

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("jump_server", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_address((me, "address"), self.address, lab.subnet(self.subnet))

    def place(self, me: str, lab: Lab) -> None:
        subnet = lab.the_subnet(self.subnet)
        lab.net.node(me)
        lab.net.plug(me, subnet.segment, subnet.interface(self.address))
        lab.net.default(me, subnet.router)
        lab.net.listen(me, (("tcp", 22),))

    def join(self, me: str, lab: Lab) -> None:
        """A jump server has no more than its default route."""
