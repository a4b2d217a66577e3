"""One set of security associations takes over from another without losing a packet: make before break.

First each end can receive by the new ones; then both ends send by them, since the kernel sends by the association that
was added last; then those go by which the ends sent before; and when nothing is under way by them any more, the rest.
Nothing goes before all that replaces it is there.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address

from labctl.errors import HostError, StateError, attempt_all
from labctl.kernel import netns, xfrm
from labctl.kernel.faults import Instant
from labctl.kernel.netlink import XFRM, Message
from labctl.kernel.nodes import Nodes
from labctl.kernel.paths import Paths
from labctl.plan.objects import XfrmState

LINGER_MS = 1000
"""How long a packet may be under way: longer than the delays and queues of a lab."""

Name = tuple[str, IPv4Address, int]


def take_over(paths: Paths, fresh: Sequence[XfrmState], keys: Mapping[str, bytes], old: Sequence[XfrmState]) -> Instant:
    """`fresh` take over from `old`, each with the associations of both ends; the instants are those of the switch.

    What of it is done already is left as it is, so that it may be done twice. KernelError, StateError.
    """
    with Nodes(paths) as nodes:
        present = _present(nodes, {each.namespace for each in (*fresh, *old)})
        senders = [each for each in fresh if _is_at(paths, each.namespace, each.source)]
        receivers = [each for each in fresh if each not in senders]
        before = [each for each in old if _is_at(paths, each.namespace, each.source)]
        attempt_all(partial(_renew, nodes, each, keys) for each in _needed(receivers, senders, present))
        struck = time.monotonic() * 1000
        missing = [each for each in senders if _name(each) not in present]
        attempt_all(partial(_send, nodes, each, [xfrm.state(each, _key(keys, each))]) for each in missing)
        attempt_all(partial(_send, nodes, each, [xfrm.delete_state(each)]) for each in before)
        instant = Instant(struck, time.monotonic() * 1000)
        if any(_name(each) in present for each in old):
            time.sleep(LINGER_MS / 1000)
        attempt_all(partial(_send, nodes, each, [xfrm.delete_state(each)]) for each in old)
        return instant


def _needed(receivers: Sequence[XfrmState], senders: Sequence[XfrmState], present: Collection[Name]) -> list[XfrmState]:
    """The receivers to be made. One whose sender was taken away has seen high sequence numbers and would take those of
    a new sender for replays (RFC 4303 section 3.4.3): it is made anew.
    """
    sent_by = {(each.destination, each.spi) for each in senders if _name(each) in present}
    return [each for each in receivers if _name(each) not in present or (each.destination, each.spi) not in sent_by]


def _renew(nodes: Nodes, item: XfrmState, keys: Mapping[str, bytes]) -> None:
    _send(nodes, item, [xfrm.delete_state(item), xfrm.state(item, _key(keys, item))])


def _send(nodes: Nodes, item: XfrmState, messages: Sequence[Message]) -> None:
    nodes[item.namespace].connection(XFRM).send(messages)


def _present(nodes: Nodes, namespaces: Collection[str]) -> set[Name]:
    found: set[Name] = set()
    for namespace in namespaces:
        for body in nodes[namespace].connection(XFRM).dump(xfrm.list_states()):
            found.add((namespace, *xfrm.identified(body)))
    return found


def _name(item: XfrmState) -> Name:
    return item.namespace, item.destination, item.spi


def _is_at(paths: Paths, namespace: str, address: IPv4Address) -> bool:
    """Whether the node has the address: what it sends by an association comes from there."""
    with netns.enter(paths.namespace(namespace)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise HostError(f"cannot find out whether {namespace} has {address}: {error.strerror}") from error
            return False
    return True


def _key(keys: Mapping[str, bytes], item: XfrmState) -> bytes:
    try:
        return keys[item.key]
    except KeyError:
        raise StateError(f"the lab has no key {item.key}") from None
