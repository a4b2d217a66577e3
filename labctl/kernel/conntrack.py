"""What a node remembers of connections, and how it forgets them. See linux/netfilter/nfnetlink_conntrack.h."""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from socket import AF_INET

from labctl.kernel import netns
from labctl.kernel.netlink import DUMP, NETFILTER, Connection, Message, attribute, attributes
from labctl.kernel.paths import Paths
from labctl.plan.objects import Address, Create, Delete, Step

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_DELETE
_EVERY_FAMILY, _IPV4 = struct.pack("=BBH", 0, 0, 0), struct.pack("=BBH", AF_INET, 0, 0)
_TUPLE_ORIG, _TUPLE_IP, _IP_V4_DST, _NESTED = 1, 1, 2, 1 << 15
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_MECHANISM = "ctnetlink (nf_conntrack_netlink)"
_LACKING = (errno.EINVAL, errno.EOPNOTSUPP)  # of a netlink subsystem that is not there (nfnetlink_rcv_msg)


def forget(namespace: Path, node: str) -> None:
    """Forget every connection of the node, NAT included. KernelError where that is refused."""
    with _connection(namespace) as connection:
        if connection:
            what = f"forget the connections of {node}"
            connection.send([Message(_DELETE, 0, _EVERY_FAMILY, what, mechanism=_MECHANISM, lacking=_LACKING)])


def forget_left(paths: Paths, steps: Sequence[Step]) -> None:
    """For each address that a node loses by `steps`, and does not get anew, forget the connections that were opened to
    it: where the node has it again one day, they are over all the same. KernelError where that is refused.
    """
    had = {_held(step.old) for step in steps if isinstance(step, Delete) and isinstance(step.old, Address)}
    has = {_held(step.new) for step in steps if isinstance(step, Create) and isinstance(step.new, Address)}
    left: dict[str, set[bytes]] = {}
    for node, address in had - has:
        left.setdefault(node, set()).add(address)
    for node, addresses in left.items():
        if netns.exists(paths, node):
            _forget_those(paths.namespace(node), node, addresses)


def _held(address: Address) -> tuple[str, bytes]:
    return address.namespace, address.address.ip.packed


def _forget_those(namespace: Path, node: str, addresses: Container[bytes]) -> None:
    with _connection(namespace) as connection:
        if connection:
            what = f"forget the connections of {node} to addresses that it lost"
            bodies = connection.dump(Message(_GET, DUMP, _IPV4, what, mechanism=_MECHANISM, lacking=_LACKING))
            tuples = [each for each in map(_opened, bodies) if _called(each) in addresses]
            found = [_IPV4 + attribute(_TUPLE_ORIG | _NESTED, each) for each in tuples]
            connection.send([Message(_DELETE, 0, body, what, tolerated=(errno.ENOENT,)) for body in found])


@contextlib.contextmanager
def _connection(namespace: Path) -> Iterator[Connection | None]:
    """To the connection tracking of a namespace; None where this kernel, or the namespace so far, tracks nothing."""
    with netns.enter(namespace):
        connection = Connection(NETFILTER) if _COUNT.exists() and _COUNT.read_text().strip() != "0" else None
    try:
        yield connection
    finally:
        if connection:
            connection.close()


def _opened(body: bytes) -> bytes:
    """The attributes that say how a connection was opened: from where and to where."""
    return attributes(body[len(_IPV4) :]).get(_TUPLE_ORIG, b"")


def _called(opened: bytes) -> bytes:
    """The address that was called then."""
    return attributes(attributes(opened).get(_TUPLE_IP, b"")).get(_IP_V4_DST, b"")
