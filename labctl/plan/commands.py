"""A plan as the commands of iproute2, tc, ethtool and iptables that build the same: a script for a root shell.

Namespaces first, then the links between them, then what each one holds. The keys of IPsec are drawn when the script
runs, so that none is ever printed. Sources: ip-link(8), ip-xfrm(8), tc-netem(8), tc-tbf(8), iptables(8).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from labctl.codec import encode
from labctl.plan.ciphers import CIPHERS
from labctl.plan.devices import Tunnel
from labctl.plan.indices import index
from labctl.plan.objects import (
    Address,
    Bridge,
    End,
    Foreign,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)
from labctl.plan.qdiscs import NETEM_PACKETS, bucket_bytes, qdiscs, queue_bytes

_OFFLOADS = ("tx", "off", "tso", "off", "gso", "off", "gro", "off", "sg", "off")
_ACTIONS = {"protect": "allow", "discard": "block"}


@dataclass(frozen=True, slots=True)
class Means:
    """What the commands need to know beyond the plan: what every namespace is set to (names under /proc/sys), and the
    command that reads a Process as JSON and runs it in the namespace of its caller.
    """

    settings: Mapping[str, str]
    serve: tuple[str, ...]


def script(plan: Plan, means: Means) -> str:
    """The whole script."""
    return "\n".join([*_head(plan), *_Script(plan, means).body()]) + "\n"


def _head(plan: Plan) -> Iterator[str]:
    names = " ".join(f"{plan.lab}-{each.name}" for each in plan.objects if isinstance(each, Namespace))
    yield "#!/bin/sh"
    yield f"# The lab {plan.lab}, built with the system's own tools; only its test programs are labctl's. Run as root."
    yield "# The programs start in the background: they answer a second or two after the end. To take it away:"
    yield f"#   for n in {names}; do ip netns pids $n | xargs -r kill; ip netns delete $n; done"
    yield "set -e"
    yield 'in_() { node=$1; shift; ip netns exec $node "$@"; }'
    ciphers = {each.key: each.cipher for each in plan.objects if isinstance(each, XfrmState)}
    for name, cipher in sorted(ciphers.items()):
        for part, size in _parts(cipher).items():
            yield f"{_variable(name, part)}=0x$(od -An -v -tx1 -N{size} /dev/urandom | tr -d ' \\n')"


def _parts(cipher: str) -> dict[str, int]:
    """The keys of a transform and how many bytes each has."""
    found = CIPHERS[cipher]
    return {"enc": found.encryption_bytes} | ({"auth": found.authentication_bytes} if found.authentication else {})


def _variable(key: str, part: str) -> str:
    return "key_" + "".join(each if each.isalnum() else "_" for each in key) + f"_{part}"


class _Script:
    def __init__(self, plan: Plan, means: Means) -> None:
        self._plan = plan
        self._means = means

    def body(self) -> Iterator[str]:
        """Every object, in sections."""
        objects = self._plan.objects
        links = [each for each in objects if isinstance(each, Bridge | Veth)]
        rest = [each for each in objects if not isinstance(each, Namespace | Bridge | Veth)]
        yield from self._section("the nodes and segments", [each for each in objects if isinstance(each, Namespace)])
        yield from self._section("the links", links)
        for name in dict.fromkeys(each.namespace for each in rest):
            yield from self._section(name, [each for each in rest if each.namespace == name])

    def _section(self, title: str, objects: Sequence[KernelObject]) -> Iterator[str]:
        yield ""
        yield f"# {title}"
        for each in objects:
            yield from self._lines(each)

    def _netns(self, namespace: str) -> str:
        return f"{self._plan.lab}-{namespace}"

    def _ip(self, namespace: str, *words: object) -> str:
        return _line("ip", "-n", self._netns(namespace), *words)

    def _in(self, namespace: str, *words: object) -> str:
        return _line("in_", self._netns(namespace), *words)

    def _lines(self, item: KernelObject) -> Iterator[str]:
        match item:
            case Namespace():
                yield from self._namespace(item)
            case Sysctl():
                yield self._in(item.namespace, "sysctl", "-qw", f"{item.name}={item.value}")
            case Bridge():
                options = ("type", "bridge", "forward_delay", 0, "stp_state", 0, "mcast_snooping", 0)
                yield self._ip(item.namespace, "link", "add", *_named(item, item.mtu), "arp", "off", "up", *options)
            case Veth():
                yield from self._veth(item)
            case Gre():
                yield from self._gre(item)
            case Geneve():
                yield from self._geneve(item)
            case XfrmInterface():
                kind = ("type", "xfrm", "dev", item.device, "if_id", item.if_id)
                yield self._ip(item.namespace, "link", "add", *_named(item, item.mtu), *kind)
                yield from self._device(item.namespace, item.name, up=item.up)
            case Address():
                yield self._ip(item.namespace, "address", "add", item.address, "dev", item.device)
            case Neighbour():
                entry = (item.address, "lladdr", item.mac, "dev", item.device, "nud", "permanent")
                yield self._ip(item.namespace, "neighbour", "add", *entry)
            case Route():
                yield self._ip(item.namespace, "route", "add", *_route(item))
            case RouteRule():
                yield self._ip(item.namespace, "rule", "add", *_routing_rule(item))
            case XfrmState():
                yield self._state(item)
            case XfrmPolicy():
                yield self._ip(item.namespace, "xfrm", "policy", "add", *_policy(item))
            case Ruleset():
                yield from self._rules(item)
            case Shaper():
                yield from self._shaper(item)
            case Foreign():
                pass  # never in a plan
            case Process():
                yield self._in(item.namespace, *self._means.serve) + " <<'END' &"
                yield json.dumps(encode(item))
                yield "END"
            case _:
                assert_never(item)

    def _namespace(self, item: Namespace) -> Iterator[str]:
        yield _line("ip", "netns", "add", self._netns(item.name))
        settings = {"net.ipv4.ip_forward": str(int(item.forwarding)), **self._means.settings}
        words = [f"{name}={value}" for name, value in settings.items()]
        yield self._in(item.name, "sysctl", "-qew", *words)
        yield self._ip(item.name, "link", "set", "lo", "up")

    def _veth(self, item: Veth) -> Iterator[str]:
        """Both ends are made in place: neither is ever in the host's namespace."""
        queues = ("numtxqueues", 1, "numrxqueues", 1)
        near = (*_named(item.a, item.mtu), "address", item.a.mac, *queues)
        place = ("netns", self._netns(item.b.namespace))
        far = (*_named(item.b, item.mtu), *place, "address", item.b.mac, *queues)
        yield self._ip(item.a.namespace, "link", "add", *near, "type", "veth", "peer", "name", *far)
        for end in (item.a, item.b):
            yield from self._device(end.namespace, end.name, *_master(end), up=True)

    def _gre(self, item: Gre) -> Iterator[str]:
        ends = ("type", "gre", "local", item.local, "remote", item.remote, "ttl", item.ttl, "pmtudisc")
        key = ("key", item.key) if item.key is not None else ()
        yield self._ip(item.namespace, "link", "add", *_named(item, item.mtu), *ends, *key)
        yield from self._device(item.namespace, item.name, up=item.up)

    def _geneve(self, item: Geneve) -> Iterator[str]:
        peer = ("id", item.vni, "remote", item.remote, "df", "set", "udpcsum")
        yield self._ip(
            item.namespace, "link", "add", *_named(item, item.mtu), "address", item.mac, "type", "geneve", *peer
        )
        if item.master:
            yield self._ip(item.namespace, "link", "set", item.name, "master", item.master)
            yield self._ip(item.namespace, "link", "set", item.name, "type", "bridge_slave", "isolated", "on")
        yield from self._device(item.namespace, item.name, up=item.up)

    def _device(self, namespace: str, name: str, *words: object, up: bool) -> Iterator[str]:
        """What a capture shall show is what a wire would carry: no checksum left out, no segment put together."""
        yield self._in(namespace, "ethtool", "-K", name, *_OFFLOADS) + " >/dev/null 2>&1 || true"
        if words or up:
            yield self._ip(namespace, "link", "set", name, *words, *(("up",) if up else ()))

    def _state(self, item: XfrmState) -> str:
        ends = ("src", item.source, "dst", item.destination, "proto", "esp", "spi", f"{item.spi:#x}")
        mode = ("mode", "tunnel", "reqid", item.if_id, "replay-window", 32, "flag", "af-unspec", "if_id", item.if_id)
        line = self._ip(item.namespace, "xfrm", "state", "add", *ends, *mode)
        cipher = CIPHERS[item.cipher]
        encryption, authentication = (f'"${_variable(item.key, part)}"' for part in ("enc", "auth"))
        if not cipher.authentication:
            return f"{line} aead '{cipher.encryption}' {encryption} {cipher.icv_bits}"
        tail = f"auth-trunc '{cipher.authentication}' {authentication} {cipher.icv_bits}"
        return f"{line} enc '{cipher.encryption}' {encryption} {tail}"

    def _rules(self, item: Ruleset) -> Iterator[str]:
        for table, lines in item.tables:
            for line in lines:
                yield self._in(item.namespace, "iptables", "-t", table) + f" {_rule(line)}"

    def _shaper(self, item: Shaper) -> Iterator[str]:
        match qdiscs(item):
            case ("netem", *inner):
                yield self._tc(item, "root", "handle", "1:", *_netem(item))
                if inner:
                    yield self._tc(item, "parent", "1:1", "handle", "2:", *_tbf(item))
            case _:
                yield self._tc(item, "root", "handle", "3:", *_tbf(item))

    def _tc(self, item: Shaper, *words: object) -> str:
        return _line("tc", "-n", self._netns(item.namespace), "qdisc", "add", "dev", item.device, *words)


def _line(*words: object) -> str:
    return shlex.join(str(each) for each in words)


def _named(item: Bridge | Tunnel | End, mtu: int) -> tuple[object, ...]:
    return item.name, "index", index(item), "mtu", mtu


def _master(end: End) -> tuple[object, ...]:
    return ("master", end.master) if end.master else ()


def _route(item: Route) -> Iterator[object]:
    if item.type != "unicast":
        yield item.type
    yield item.to
    for word, value in (("via", item.via), ("dev", item.device), ("metric", item.metric or None), ("src", item.source)):
        if value is not None:
            yield from (word, value)
    if item.table:
        yield from ("table", item.table)
    yield from ("proto", "static")


def _routing_rule(item: RouteRule) -> Iterator[object]:
    yield from ("priority", item.priority)
    if item.source is not None:
        yield from ("from", item.source)
    if item.device is not None:
        yield from ("iif", item.device)
    yield from ("lookup", item.table, "protocol", "static")


def _policy(item: XfrmPolicy) -> Iterator[object]:
    yield from ("src", item.source, "dst", item.destination, "dir", item.direction)
    yield from ("priority", item.priority, "action", _ACTIONS[item.action])
    if item.if_id:
        yield from ("if_id", item.if_id)
    if item.outer:
        source, destination = item.outer
        yield from ("tmpl", "src", source, "dst", destination, "proto", "esp", "reqid", item.if_id, "mode", "tunnel")


def _rule(line: str) -> str:
    """A line of iptables-restore as arguments of iptables: `:FORWARD DROP [0:0]` sets a policy or makes a chain."""
    if not line.startswith(":"):
        return shlex.join(shlex.split(line))
    chain, policy = line[1:].split()[:2]
    return f"-N {chain}" if policy == "-" else f"-P {chain} {policy}"


def _netem(item: Shaper) -> Iterator[object]:
    yield from ("netem", "limit", NETEM_PACKETS, "delay", f"{item.delay_ms:g}ms")
    if item.jitter_ms:
        yield f"{item.jitter_ms:g}ms"
    if item.loss_percent:
        yield from ("loss", f"{item.loss_percent:g}%")


def _tbf(item: Shaper) -> tuple[object, ...]:
    return "tbf", "rate", f"{item.rate_bit}bit", "burst", bucket_bytes(item), "limit", queue_bytes(item)
