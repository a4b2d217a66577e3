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
    """A server to log in to, with its default route at the subnet's router."""

    kind: ClassVar[str] = "jump_server"

    subnet: str = option(Ref(("subnet",)), "the subnet that it is in")
    address: IPv4Address = option(ADDRESS, "its address")

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
