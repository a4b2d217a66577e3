"""How the programs of a node resolve names: the files of its C library, as texts.

A DNS server has so many seconds to answer before the next one is asked, and all are asked so often (resolv.conf(5)).
Names come from the hosts file and from these servers alone (nsswitch.conf(5)): a resolver of the host's own, reached by
a socket in the file system, is not in the node's network.
"""

from __future__ import annotations

from labctl.model.network import Network

NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n"


def resolv_conf(net: Network, node: str) -> str:
    """The resolv.conf of `node`; "" where it asks nobody. No more than three servers are ever asked (MAXNS)."""
    known = net.nodes.get(node)
    if known is None or not known.stub:
        return ""
    servers = "".join(f"nameserver {address}\n" for address in known.stub)
    return f"{servers}options timeout:{net.stub_s} attempts:{net.stub_attempts}\n"


def files(net: Network, node: str) -> dict[str, str]:
    """The files of /etc that programs in `node` see in place of the host's, by their paths."""
    text = resolv_conf(net, node)
    return {"/etc/resolv.conf": text, "/etc/nsswitch.conf": NSSWITCH} if text else {}
