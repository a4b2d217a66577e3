"""What the kernel holds of a lab, read by the distribution's own tools: nothing here is the code under test.

What differs between two labs that are alike is left out: counters, ages, numbers that the kernel gives, keys.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from labctl.kernel import netns
from labctl.kernel.paths import Paths

Watched = Collection[tuple[str, str, int]]
"""Node, network and metric of routes that come and go with the health of a path, or with an address of a program's."""

_DROPPED = {
    *("ifindex", "link_index", "link_netnsid", "stats", "stats64", "parentbus", "parentdev", "operstate", "flags"),
    *("valid_life_time", "preferred_life_time", "txqlen", "gc_timer", "hello_timer", "tcn_timer", "age"),
    *("topology_change_timer", "root_id", "bridge_id", "designated_root", "designated_bridge", "port_id", "port_no"),
    *("no", "id", "designated_port", "designated_cost", "group_address", "group_fwd_mask_str"),
    *("message_age_timer", "forward_delay_timer", "hold_timer", "ifalias", "linkmode", "promiscuity", "allmulti"),
}
_FALLBACKS = re.compile(r"(gre|gretap|erspan|tunl|sit|ip_vti|ip6tnl|ip6gre|ip6_vti|ip6gretap)0")
_IPSEC_NOISE = re.compile(r"(?m)^\s*(anti-replay|stats:|replay-window|lastused|add|lifetime).*$")


def reading(paths: Paths, watched: Watched) -> dict[str, list[str]]:
    """Node to what it holds, a line a thing."""
    nodes = sorted(each.name for each in paths.namespaces.iterdir() if netns.exists(paths, each.name))
    return {node: list(_node(paths, node, watched)) for node in nodes}


def differing(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """What the first has and the second has not, and the other way round, for a message."""
    found = [f"{node}: only in one" for node in one.keys() ^ other.keys()]
    for node in one.keys() & other.keys():
        found += [f"{node}: applied: {line}" for line in one[node] if line not in other[node]]
        found += [f"{node}: fresh: {line}" for line in other[node] if line not in one[node]]
        if sorted(one[node]) == sorted(other[node]) and one[node] != other[node]:
            found.append(f"{node}: another order")
    return sorted(found)


def _node(paths: Paths, node: str, watched: Watched) -> Iterator[str]:
    """As few programs as can be: to start one is dear in a guest kernel."""
    with netns.enter(paths.namespace(node)):
        listed, rest = _together(_JSON, _TEXT)
        devices, routes, neighbours, rules, settings = listed
        yield from sorted(_devices(node, devices, watched))
        yield from sorted(_routes(node, routes, watched))
        yield from sorted(f"neighbour {_plain(each)}" for each in neighbours)
        yield from sorted(f"rule {_plain(each)}" for each in rules)
        yield from sorted(f"netconf {_plain(each)}" for each in settings)
        yield from sorted(_ipsec(rest))
        yield from _rules()
        if any(each["qdisc"] for each in devices):
            lines = _run("tc", "qdisc").splitlines()
            yield from sorted(re.sub(r"refcnt \d+ ?", "", line) for line in lines if line.split()[1] not in _IDLE)


_JSON = ("address show", "route show table all", "neigh show nud permanent", "rule show", "netconf show")
_TEXT = ("xfrm state list nokeys", "xfrm policy list nosock")
_IDLE = ("noqueue", "noop")
"""No queue, of a device that is up or down."""


def _together(json_commands: Sequence[str], text_commands: Sequence[str]) -> tuple[list[list[dict[str, Any]]], str]:
    commands = "".join(f"{each}\n" for each in (*json_commands, *text_commands))
    # Where the kernel has no IPsec the last two are refused.
    text = _run("ip", "-4", "-d", "-j", "-batch", "-", given=commands, check=False)
    decoder, place, found = json.JSONDecoder(), 0, []
    for _ in json_commands:
        listed, place = decoder.raw_decode(text, place)
        place = len(text) - len(text[place:].lstrip())
        found.append([each for each in listed if each])
    return found, text[place:]


def _ipsec(text: str) -> Iterator[str]:
    for each in re.split(r"\n(?=src)", _IPSEC_NOISE.sub("", text)):
        if each.strip():
            yield " ".join(f"ipsec {each}".split())


def _devices(node: str, listed: list[dict[str, Any]], watched: Watched) -> Iterator[str]:
    for device in listed:
        if _FALLBACKS.fullmatch(device["ifname"]):
            continue
        addresses = [
            _plain(each) for each in device.pop("addr_info", []) if (node, f"{each['local']}/32", 0) not in watched
        ]
        network = f" network {info['id']}" if "id" in (info := device.get("linkinfo", {}).get("info_data", {})) else ""
        up = "UP" in device["flags"]
        device["qdisc"] = "" if device["qdisc"] in _IDLE else device["qdisc"]
        yield f"device {device['ifname']} up {up}{network} {_plain(device)}"
        yield from (f"address of {device['ifname']} {each}" for each in addresses)


def _routes(node: str, listed: list[dict[str, Any]], watched: Watched) -> Iterator[str]:
    for each in listed:
        network = {"default": "0.0.0.0/0"}.get(each["dst"], each["dst"])
        network = network if "/" in network else f"{network}/32"
        each["flags"] = [flag for flag in each.get("flags", []) if flag != "linkdown"]
        if (node, network, each.get("metric", 0)) not in watched:
            yield f"route {_plain(each)}"


def _rules() -> Iterator[str]:
    """Chains in any order, their rules in their own; a table that accepts everything counts as none."""
    tables: dict[str, list[str]] = {}
    name = ""
    for line in _run("iptables-save").splitlines():
        if line.startswith("*"):
            name = line[1:]
        elif line.startswith((":", "-")) and not re.match(r":\w+ ACCEPT", line):
            tables.setdefault(name, []).append(re.sub(r" \[\d+:\d+\]", "", line))
    for table, lines in sorted(tables.items()):
        yield f"rules of {table}: " + " | ".join(
            [*sorted(each for each in lines if each[0] == ":"), *(each for each in lines if each[0] == "-")]
        )


def _plain(each: Any) -> str:
    return json.dumps(_stripped(each), sort_keys=True)


def _stripped(each: Any) -> Any:
    if isinstance(each, dict):
        return {key: _stripped(value) for key, value in each.items() if key not in _DROPPED}
    return [_stripped(value) for value in each] if isinstance(each, list) else each


def _run(*command: str, given: str = "", check: bool = True) -> str:
    done = subprocess.run(command, input=given, text=True, capture_output=True, timeout=60)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
