"""What keepalived is told: the text of its configuration, keepalived.conf(5).

One instance a device, all of them in one group, so that the addresses of a virtual router move together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Interface

from labctl.model.services import Vrrp

GROUP = "all"
_GRATUITOUS = 3


def configuration(config: Vrrp, node: str, states: str) -> str:
    """The whole file, for a keepalived of `node` that writes every state it enters to the named pipe `states`."""
    held: dict[str, list[IPv4Interface]] = {}
    for device, address in config.addresses:
        held.setdefault(device, []).append(address)
    lines = [*_common(node, states), *_block(f"vrrp_sync_group {GROUP}", _block("group", held))]
    for device, addresses in held.items():
        lines += _block(f"vrrp_instance {device}", _instance(config, device, addresses))
    return "\n".join((*lines, ""))


def _common(node: str, states: str) -> Iterator[str]:
    yield from _block(
        "global_defs",
        (
            f"router_id {node}",
            "vrrp_version 3",
            f"vrrp_notify_fifo {states}",
            "script_user root",  # it runs no script, and complains where the user for that does not exist
            f"vrrp_garp_master_repeat {_GRATUITOUS}",
            "vrrp_priority -15",  # nice(2): on a busy machine a late advertisement would look like a dead router
            "vrrp_garp_master_delay 1",  # seconds until it tells the neighbours once more
        ),
    )


def _instance(config: Vrrp, device: str, addresses: list[IPv4Interface]) -> Iterator[str]:
    yield "state BACKUP"
    yield f"interface {device}"
    yield f"virtual_router_id {config.number}"
    yield f"priority {config.priority}"
    yield f"advert_int {config.interval_ms / 1000:g}"
    if not config.preempt:
        yield "nopreempt"
    yield from _block("virtual_ipaddress", (f"{address} dev {device}" for address in addresses))


def _block(head: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{head} {{"
    yield from (f"    {line}" for line in lines)
    yield "}"
