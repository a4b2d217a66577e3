"""What the nodes of a lab know about their neighbours (ARP, RFC 826): permanent entries that a plan asks for; and what
they learnt, which the fabric of a cloud corrects at once when an address moves to another machine or goes, where hosts
of their own would go on sending to the old one.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from labctl.kernel import netns
from labctl.kernel.netlink import CREATE, DUMP, REPLACE, Message, attribute, attributes
from labctl.kernel.nodes import Nodes
from labctl.kernel.paths import Paths
from labctl.plan.objects import Address, Create, Delete, Neighbour, Step

Moving = frozenset[IPv4Address]

_RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 28, 29, 30
_NDMSG = struct.Struct("=BxxxiHBB")
_AF_INET = 2
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_PERMANENT = 0x80


def neighbour(item: Neighbour, device: int) -> Message:
    """Make a permanent entry on the device with index `device`, in the place of what was learnt."""
    body = _entry(item, device) + attribute(_NDA_LLADDR, bytes.fromhex(item.mac.replace(":", "")))
    return Message(_RTM_NEWNEIGH, CREATE | REPLACE, body, ("create", item), item)


def delete_neighbour(item: Neighbour, device: int) -> Message:
    """Remove an entry; it may be gone already."""
    tolerated = (errno.ENOENT, errno.ENODEV)
    return Message(_RTM_DELNEIGH, 0, _entry(item, device), ("delete", item), item, tolerated)


def moving(steps: Iterable[Step]) -> Moving:
    """The addresses that go from one place and come to another."""
    going = _going(steps)
    return going & _coming(steps) if going else going


def leaving(steps: Iterable[Step]) -> Moving:
    """The addresses that go for good."""
    going = _going(steps)
    return going - _coming(steps) if going else going


def _going(steps: Iterable[Step]) -> Moving:
    return frozenset(
        step.old.address.ip for step in steps if isinstance(step, Delete) and isinstance(step.old, Address)
    )


def _coming(steps: Iterable[Step]) -> Moving:
    return frozenset(
        step.new.address.ip for step in steps if isinstance(step, Create) and isinstance(step.new, Address)
    )


def forget(paths: Paths, nodes: Nodes, addresses: Iterable[IPv4Address]) -> None:
    """Let every node of the lab ask anew where `addresses` are."""
    wanted = {each.packed for each in addresses}
    for name in sorted(each.name for each in paths.namespaces.iterdir()):
        if netns.exists(paths, name):
            connection = nodes[name].route
            connection.send(list(_forgetting(connection.dump(_listing()), wanted)))


def _entry(item: Neighbour, device: int) -> bytes:
    return _NDMSG.pack(_AF_INET, device, _NUD_PERMANENT, 0, 0) + attribute(_NDA_DST, item.address.packed)


def _listing() -> Message:
    return Message(_RTM_GETNEIGH, DUMP, _NDMSG.pack(_AF_INET, 0, 0, 0, 0), "list neighbours")


def _forgetting(listed: Iterable[bytes], wanted: set[bytes]) -> Iterator[Message]:
    for body in listed:
        _, device, state, *_ = _NDMSG.unpack_from(body)
        address = attributes(body[_NDMSG.size :]).get(_NDA_DST, b"")
        if address in wanted and not state & _NUD_PERMANENT:
            request = _NDMSG.pack(_AF_INET, device, 0, 0, 0) + attribute(_NDA_DST, address)
            what = f"forget the neighbour {IPv4Address(address)}"
            yield Message(_RTM_DELNEIGH, 0, request, what, tolerated=(errno.ENOENT,))
