"""What a plan asks of a machine: the mechanisms of its kernel and the programs that it uses.

`Mechanism` is a closed vocabulary, and `MEANS` says of each word what it is and where it comes from. labctl itself
speaks netlink; `ip` and `tc` are needed to try a mechanism beforehand and by whoever works inside a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, assert_never

from labctl.model.services import Vrrp
from labctl.plan.faults import Blackhole, Degrade, Drop, Fault, Flap, Freeze, Kill, LinkDown, Rekey
from labctl.plan.objects import (
    Address,
    Bridge,
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
from labctl.plan.qdiscs import qdiscs

Mechanism = Literal[
    "netns",
    "veth",
    "bridge",
    "gre",
    "geneve",
    "policy-routing",
    "xfrm-interface",
    "xfrm-policy",
    "esp-aes128-gcm",
    "esp-aes256-gcm",
    "esp-aes128-cbc-sha1",
    "esp-aes256-cbc-sha1",
    "esp-aes256-cbc-sha256",
    "netem",
    "tbf",
    "clsact",
    "clsact-u32",
    "clsact-bpf",
    "iptables",
    "iptables-nat",
    "iptables-mangle",
    "iptables-raw",
    "iptables-conntrack",
    "iptables-policy",
    "iptables-reject",
    "iptables-tcpmss",
    "iptables-netmap",
    "program:ip",
    "program:tc",
    "program:iptables-restore",
    "program:keepalived",
    "program:getent",
    "program:dig",
    "program:curl",
]


@dataclass(frozen=True, slots=True)
class Means:
    """Where a mechanism comes from.

    `options` are the kernel's configuration options (each CONFIG_...), `modules` the modules in which distributions
    ship them; both empty for a program. `package` is the Debian and Ubuntu package of the program that sets it up.
    """

    what: str
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    package: str = "iproute2"


def _esp(cipher: str, options: tuple[str, ...], modules: tuple[str, ...]) -> Means:
    return Means(f"IPsec ESP with {cipher}", ("CONFIG_INET_ESP", *options), ("xfrm_user", "esp4", *modules))


def _rules(what: str, option: str, *modules: str) -> Means:
    return Means(what, (f"CONFIG_{option}",), modules, "iptables")


_GCM = (("CONFIG_CRYPTO_AES", "CONFIG_CRYPTO_GCM"), ("aes_generic", "gcm"))
_SHA1 = (("CONFIG_CRYPTO_AES", "CONFIG_CRYPTO_CBC", "CONFIG_CRYPTO_SHA1"), ("aes_generic", "cbc", "sha1_generic"))
_SHA256 = (
    ("CONFIG_CRYPTO_AES", "CONFIG_CRYPTO_CBC", "CONFIG_CRYPTO_SHA256"),
    ("aes_generic", "cbc", "sha256_generic"),
)

MEANS: dict[Mechanism, Means] = {
    "netns": Means("network namespaces, named in a tmpfs", ("CONFIG_NET_NS", "CONFIG_TMPFS")),
    "veth": Means("virtual Ethernet pairs", ("CONFIG_VETH",), ("veth",)),
    "bridge": Means("Ethernet bridges", ("CONFIG_BRIDGE",), ("bridge",)),
    "gre": Means("GRE tunnels with a key", ("CONFIG_NET_IPGRE_DEMUX", "CONFIG_NET_IPGRE"), ("gre", "ip_gre")),
    "geneve": Means(
        "Geneve tunnels as isolated ports of a bridge", ("CONFIG_GENEVE", "CONFIG_BRIDGE"), ("geneve", "bridge")
    ),
    "policy-routing": Means("routing rules and tables beside the main one", ("CONFIG_IP_MULTIPLE_TABLES",)),
    "xfrm-interface": Means("xfrm interfaces (route-based IPsec)", ("CONFIG_XFRM_INTERFACE",), ("xfrm_interface",)),
    "xfrm-policy": Means("IPsec policies", ("CONFIG_XFRM_USER",), ("xfrm_user",)),
    "esp-aes128-gcm": _esp("AES-128-GCM", *_GCM),
    "esp-aes256-gcm": _esp("AES-256-GCM", *_GCM),
    "esp-aes128-cbc-sha1": _esp("AES-128-CBC and HMAC-SHA1", *_SHA1),
    "esp-aes256-cbc-sha1": _esp("AES-256-CBC and HMAC-SHA1", *_SHA1),
    "esp-aes256-cbc-sha256": _esp("AES-256-CBC and HMAC-SHA256", *_SHA256),
    "netem": Means("netem: delay, jitter and loss on a link", ("CONFIG_NET_SCH_NETEM",), ("sch_netem",)),
    "tbf": Means("tbf: the speed of a link", ("CONFIG_NET_SCH_TBF",), ("sch_tbf",)),
    "clsact": Means("the clsact hook of a device", ("CONFIG_NET_SCH_INGRESS",), ("sch_ingress",)),
    "clsact-u32": Means(
        "u32 filters that drop at the clsact hook",
        ("CONFIG_NET_SCH_INGRESS", "CONFIG_NET_CLS_U32", "CONFIG_NET_ACT_GACT"),
        ("sch_ingress", "cls_u32", "act_gact"),
    ),
    "clsact-bpf": Means(
        "programs that count what they drop at the clsact hook",
        ("CONFIG_NET_SCH_INGRESS", "CONFIG_NET_CLS_BPF", "CONFIG_BPF_SYSCALL"),
        ("sch_ingress", "cls_bpf"),
    ),
    "iptables": _rules("iptables, table filter", "IP_NF_FILTER", "ip_tables", "iptable_filter", "nft_compat"),
    "iptables-nat": _rules("iptables, table nat", "IP_NF_NAT", "iptable_nat", "nft_chain_nat", "xt_nat"),
    "iptables-mangle": _rules("iptables, table mangle", "IP_NF_MANGLE", "iptable_mangle", "nft_compat"),
    "iptables-raw": _rules("iptables, table raw", "IP_NF_RAW", "iptable_raw", "nft_compat"),
    "iptables-conntrack": _rules(
        "iptables, match conntrack", "NETFILTER_XT_MATCH_CONNTRACK", "nf_conntrack", "xt_conntrack"
    ),
    "iptables-policy": _rules("iptables, match policy", "NETFILTER_XT_MATCH_POLICY", "xt_policy"),
    "iptables-reject": _rules("iptables, target REJECT", "IP_NF_TARGET_REJECT", "ipt_REJECT"),
    "iptables-tcpmss": _rules("iptables, target TCPMSS", "NETFILTER_XT_TARGET_TCPMSS", "xt_TCPMSS"),
    "iptables-netmap": _rules("iptables, target NETMAP", "NETFILTER_XT_TARGET_NETMAP", "xt_NETMAP"),
    "program:ip": Means("the program ip"),
    "program:tc": Means("the program tc"),
    "program:iptables-restore": Means("the program iptables-restore", package="iptables"),
    "program:keepalived": Means("the program keepalived: VRRP", package="keepalived"),
    "program:getent": Means("the program getent, which looks names up in checks", package="libc-bin"),
    "program:dig": Means("the program dig, which looks names up in checks", package="bind9-dnsutils"),
    "program:curl": Means("the program curl, which looks names up in checks", package="curl"),
}

_DEVICES: dict[type[KernelObject], Mechanism] = {
    Veth: "veth",
    Bridge: "bridge",
    Gre: "gre",
    Geneve: "geneve",
    XfrmInterface: "xfrm-interface",
}
_CIPHERS: dict[str, Mechanism] = {
    "aes128-gcm": "esp-aes128-gcm",
    "aes256-gcm": "esp-aes256-gcm",
    "aes128-cbc-sha1": "esp-aes128-cbc-sha1",
    "aes256-cbc-sha1": "esp-aes256-cbc-sha1",
    "aes256-cbc-sha256": "esp-aes256-cbc-sha256",
}
_TABLES: dict[str, Mechanism] = {
    "filter": "iptables",
    "nat": "iptables-nat",
    "mangle": "iptables-mangle",
    "raw": "iptables-raw",
}
# The extensions that are modules of their own. SNAT, DNAT and MASQUERADE belong to the nat table.
_EXTENSIONS: dict[tuple[str, str], Mechanism] = {
    ("-m", "conntrack"): "iptables-conntrack",
    ("-m", "policy"): "iptables-policy",
    ("-j", "REJECT"): "iptables-reject",
    ("-j", "TCPMSS"): "iptables-tcpmss",
    ("-j", "NETMAP"): "iptables-netmap",
}
_SILENT: tuple[Mechanism, ...] = ("clsact", "clsact-u32", "program:tc")
_COUNTED: tuple[Mechanism, ...] = ("clsact", "clsact-bpf", "program:tc")


def needs(plan: Plan, faults: Iterable[Fault] = ()) -> tuple[Mechanism, ...]:
    """The mechanisms, sorted, that `plan` uses and that drills with `faults` add to them."""
    found = {mechanism for item in plan.objects for mechanism in _of(item)}
    found.update(mechanism for fault in faults for mechanism in _of_fault(fault))
    return tuple(sorted(found))


def _of_fault(fault: Fault) -> tuple[Mechanism, ...]:
    match fault:
        case Blackhole():
            return _SILENT
        case Freeze(ports=ports):
            return _SILENT if ports else ()
        case Drop():
            return _COUNTED
        case Degrade(worse=worse):
            return tuple(mechanism for each in worse for mechanism in _of(each))
        case Rekey(fresh=fresh):
            return tuple(mechanism for each in fresh for mechanism in _of(each))
        case LinkDown() | Flap() | Kill():
            return ()  # whatever has devices and programs can take them down
        case _:
            assert_never(fault)


def _of(item: KernelObject) -> tuple[Mechanism, ...]:
    match item:
        case Namespace():
            return ("netns", "program:ip")
        case Veth() | Bridge() | Gre() | Geneve() | XfrmInterface():
            return (_DEVICES[type(item)],)
        case XfrmState():
            return (_CIPHERS[item.cipher],)
        case XfrmPolicy():
            return ("xfrm-policy",)
        case Shaper():
            return (*qdiscs(item), "program:tc")
        case Ruleset():
            return ("program:iptables-restore", *_of_rules(item))
        case RouteRule():
            return ("policy-routing",)
        case Route(table=table) if table:
            return ("policy-routing",)
        case Process(program=Vrrp()):
            return ("program:keepalived",)
        case Address() | Neighbour() | Route() | Sysctl() | Process() | Foreign():
            return ()  # every kernel with network namespaces has them
        case _:
            assert_never(item)


def _of_rules(ruleset: Ruleset) -> Iterator[Mechanism]:
    for table, lines in ruleset.tables:
        yield _TABLES[table]
        for line in lines:
            words = line.split()
            yield from (_EXTENSIONS[pair] for pair in pairwise(words) if pair in _EXTENSIONS)
