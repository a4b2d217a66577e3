"""Builds the network of the file given first with munet, prints the pids of its ends, and ends it after a line."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from munet.native import Munet


async def main() -> None:
    """Up, wait, down."""
    loopbacks, joints, routes = json.loads(Path(sys.argv[1]).read_text())
    place = Path(sys.argv[2], "munet")
    place.mkdir(exist_ok=True)
    net = Munet(rundir=str(place), pid=False)
    nodes = [net.add_host(f"n{i}") for i in range(len(loopbacks))]
    words = [["sysctl -qw net.ipv4.ip_forward=1", f"ip address add {address}/32 dev lo"] for address in loopbacks]
    devices = [0] * len(nodes)
    for one, here, other, there in joints:
        names = []
        for node, address in ((one, here), (other, there)):
            names.append(f"eth{devices[node]}")
            devices[node] += 1
            words[node].append(f"ip address add {address}/30 dev {names[-1]}; ip link set {names[-1]} up")
        net.add_link(nodes[one], nodes[other], names[0], names[1])
    for node, to, via in routes:
        words[node].append(f"ip route add {to} via {via}")
    for node, its in zip(nodes, words, strict=True):
        node.cmd_raises("set -e; " + "; ".join(its))
    print(json.dumps([str(nodes[0].pid), str(nodes[-1].pid)]), flush=True)
    sys.stdin.readline()
    await net.async_delete()


asyncio.run(main())
