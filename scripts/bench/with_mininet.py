"""Builds the network of the file given first with Mininet, prints the pids of its ends, and stops it after a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mininet.net import Mininet

loopbacks, joints, routes = json.loads(Path(sys.argv[1]).read_text())
net = Mininet(controller=None, autoSetMacs=False)
hosts = [net.addHost(f"n{i}", ip=None) for i in range(len(loopbacks))]
words = [["sysctl -qw net.ipv4.ip_forward=1", f"ip address add {address}/32 dev lo"] for address in loopbacks]
devices = [0] * len(hosts)
for one, here, other, there in joints:
    names = []
    for node, address in ((one, here), (other, there)):
        names.append(f"n{node}-eth{devices[node]}")
        devices[node] += 1
        words[node].append(f"ip address add {address}/30 dev {names[-1]}; ip link set {names[-1]} up")
    net.addLink(hosts[one], hosts[other], intfName1=names[0], intfName2=names[1])
for node, to, via in routes:
    words[node].append(f"ip route add {to} via {via}")
net.build()
for host, its in zip(hosts, words, strict=True):
    said = host.cmd("; ".join(its))
    if said.strip():
        sys.exit(f"{host.name}: {said}")
print(json.dumps([str(hosts[0].pid), str(hosts[-1].pid)]), flush=True)
sys.stdin.readline()
net.stop()
