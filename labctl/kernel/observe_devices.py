"""Devices as objects of a plan: which of those that were asked for they are, and how they are."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import assert_never

from labctl.kernel.netlink import ROUTE, attributes
from labctl.kernel.observe_known import Known, Link, Place
from labctl.kernel.observe_links import Device, isolated, mac
from labctl.plan.indices import index
from labctl.plan.objects import Bridge, End, Foreign, Geneve, Gre, KernelObject, Removal, Veth, XfrmInterface

_DELLINK = 17
_IFINFO = struct.Struct("=BxHiII")
_XFRM_LINK, _XFRM_IF_ID = 1, 2
_GRE_IFLAGS, _GRE_OFLAGS, _GRE_IKEY, _GRE_OKEY = 2, 3, 4, 5
_GRE_LOCAL, _GRE_REMOTE, _GRE_TTL = 6, 7, 8
_GRE_KEY_PRESENT = 0x2000
_GENEVE_ID, _GENEVE_REMOTE, _GENEVE_METADATA = 1, 2, 6
_GENEVE_USUAL = ((3, b"\0"), (5, b"\x17\xc1"), (8, b"\1"), (13, b"\1"))
"""TTL as that of the inner packet's way, UDP port 6081, checksums, no fragments."""
_KINDS: dict[type[Link], str] = {Bridge: "bridge", Veth: "veth", Gre: "gre", Geneve: "geneve", XfrmInterface: "xfrm"}


@dataclass(slots=True)
class Seen:
    """A veth end: where it is, its device, and the name of the bridge that it is a port of."""

    place: Place
    device: Device
    master: str | None


def tunnel(namespace: str, device: Device, devices: Mapping[int, Device], asked: Sequence[Link]) -> KernelObject:
    """A device that is no veth: like one of `asked` in its kind, if any is; else something foreign."""
    for each in asked:
        if _KINDS[type(each)] == device.kind and (isinstance(each, Veth) or device.index == index(each)):
            match each:
                case Bridge():
                    return Bridge(namespace, device.name, device.mtu, device.up)
                case Gre():
                    return _gre(namespace, device)
                case Geneve():
                    return _geneve(namespace, device, devices, each)
                case XfrmInterface():
                    return _xfrm(namespace, device, devices)
                case Veth():
                    continue
                case _:
                    assert_never(each)
    return foreign(namespace, device)


def paired(ends: Sequence[Seen], known: Known) -> Iterator[tuple[KernelObject, Veth | None]]:
    """The veth pairs among `ends`, each with the one that was asked for between these two; ends whose other end is not
    where it was asked for are foreign.
    """
    by_place = {each.place: each for each in ends}
    done: set[Place] = set()
    for each in ends:
        if each.place in done:
            continue
        asked = [veth for veth in known.links.get(each.place, ()) if isinstance(veth, Veth)]
        for veth in reversed(asked):
            a, b = (by_place.get((end.namespace, end.name)) for end in (veth.a, veth.b))
            if a and b and _joined(a.device, b.device, veth):
                done |= {a.place, b.place}
                yield _veth(a, b, veth), veth
                break
        else:
            done.add(each.place)
            yield foreign(each.place[0], each.device), None


def _joined(a: Device, b: Device, asked: Veth) -> bool:
    """Whether the two are ends of one link, and the indices are those that labctl gives."""
    indices = index(asked.a), index(asked.b)
    return (a.index, b.index) == indices and (a.link, b.link) == (b.index, a.index)


def foreign(namespace: str, device: Device) -> Foreign:
    """A device that nobody asked for."""
    body = _IFINFO.pack(0, 0, device.index, 0, 0).hex()
    what = f"device {device.name} ({device.kind or 'of no kind'})"
    return Foreign(namespace, what, Removal(ROUTE, _DELLINK, body), (("device", namespace, device.name),))


def _veth(a: Seen, b: Seen, asked: Veth) -> Veth:
    mtu = next((each.device.mtu for each in (a, b) if each.device.mtu != asked.mtu), asked.mtu)
    first, second = _end(a, asked.a), _end(b, asked.b)
    return asked if first is asked.a and second is asked.b and mtu == asked.mtu else Veth(first, second, mtu)


def _end(seen: Seen, asked: End) -> End:
    device = seen.device
    same = mac(device.mac) == asked.mac and device.up == asked.up and seen.master == asked.master
    return asked if same else replace(asked, mac=mac(device.mac), master=seen.master, up=device.up)


def _gre(namespace: str, device: Device) -> Gre:
    found = attributes(device.data)
    local, remote = (IPv4Address(found.get(kind, bytes(4))) for kind in (_GRE_LOCAL, _GRE_REMOTE))
    return Gre(namespace, device.name, local, remote, device.mtu, _key(found), found[_GRE_TTL][0], device.up)


def _geneve(namespace: str, device: Device, devices: Mapping[int, Device], asked: Geneve) -> Geneve | Foreign:
    """The tunnel; something foreign where it is one that labctl does not make, with another port or without checksums.

    The source address that it was asked for with is not known to the device.
    """
    found = attributes(device.data)
    remote = found.get(_GENEVE_REMOTE, b"")
    if _GENEVE_METADATA in found or len(remote) != 4 or any(found.get(kind) != value for kind, value in _GENEVE_USUAL):
        return foreign(namespace, device)
    master = devices[device.master].name if device.master in devices else None
    vni, far = _number(found.get(_GENEVE_ID)), IPv4Address(remote)
    state = mac(device.mac), master, device.up, isolated(device) or master is None
    return Geneve(namespace, device.name, vni, asked.local, far, device.mtu, *state)


def _key(found: Mapping[int, bytes]) -> int | None:
    """The key of a tunnel; -1 where the two directions do not have the same."""
    flags = [
        struct.unpack("!H", found.get(kind, bytes(2)))[0] & _GRE_KEY_PRESENT for kind in (_GRE_IFLAGS, _GRE_OFLAGS)
    ]
    if not any(flags):
        return None
    keys = {int.from_bytes(found.get(kind, b""), "big") for kind in (_GRE_IKEY, _GRE_OKEY)}
    return keys.pop() if all(flags) and len(keys) == 1 else -1


def _xfrm(namespace: str, device: Device, devices: Mapping[int, Device]) -> XfrmInterface:
    found = attributes(device.data)
    if_id, under = (_number(found.get(kind)) for kind in (_XFRM_IF_ID, _XFRM_LINK))
    below = devices[under].name if under in devices else ""
    return XfrmInterface(namespace, device.name, if_id, below, device.mtu, device.up)


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "little" if struct.pack("=H", 1)[0] else "big")
