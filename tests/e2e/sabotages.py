"""Ways to break each shipped lab, and which check must notice. `@` stands for the lab's prefix of namespaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from labctl.cli.files import read
from labctl.plan.objects import XfrmState


@dataclass(frozen=True)
class Sabotage:
    """Break `lab` by `do` (undone by `undo`), by killing a program (`kill`: a pattern of its command line or name),
    by killing programs again and again meanwhile (`hunt`), or by replacing a text of its description (`edit`, in
    `file`). Then each check of `only` must come out as `verdict`: fail or inconclusive. What has no `undo` is undone by
    building the lab anew.
    """

    lab: str
    name: str
    only: list[str]
    verdict: str
    do: list[str] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)
    kill: str = ""
    hunt: str = ""
    edit: tuple[str, str] | None = None
    file: str = ""


VPE, MULTI, PVS, VPN = "vpe-subnet", "vpe-multizone", "pvs-ipsec-gre-byoip", "vpn-dc-failover"
NSX, CUSTOM, UPGRADE = "vpe-nsxt-overlay", "vpe-custom-resolver", "vpe-dns-upgrade"
PROBER = "labctl.probes.prober"
AES128_GCM_KEY = "0x" + "5a" * 20
AES256_KEY, SHA1_KEY = "0x" + "5a" * 32, "0x" + "a5" * 20


def association(lab: str, key: str) -> tuple[str, str, int]:
    """An association of a shipped lab by the name of its key: its selectors, its SPI, its interface's number."""
    state = next(each for each in read(lab).plan.objects if isinstance(each, XfrmState) and each.key == key)
    return f"src {state.source} dst {state.destination} proto esp", f"spi {state.spi}", state.if_id


def transform(number: int, words: str) -> str:
    return f"reqid {number} mode tunnel replay-window 32 {words} if_id {number}"


OUTWARD, OUTWARD_SPI, OUTWARD_ID = association(PVS, "vpn.ba")
T1, T1_SPI, T1_ID = association(VPN, "t1.ba")
T2, T2_SPI, _ = association(VPN, "t2.ab")
CBC = transform(OUTWARD_ID, f"auth-trunc hmac(sha1) {SHA1_KEY} 96 enc cbc(aes) {AES256_KEY}")
GCM = transform(T1_ID, f"aead rfc4106(gcm(aes)) {AES128_GCM_KEY} 128")

SABOTAGES = [
    Sabotage(
        VPE, "destination NAT removed", ["P2"], "fail",
        do=["ip netns exec @vpegw-a iptables -t nat -D PREROUTING 1"],
        undo=["ip netns exec @vpegw-a iptables -t nat -I PREROUTING -i vpc1-app -d 10.240.0.9 -p tcp --syn -j DNAT"
              " --to-destination 166.9.20.10"],
    ),
    Sabotage(
        VPE, "source NAT removed", ["P4"], "fail",
        do=["ip netns exec @vpegw-b iptables -t nat -D POSTROUTING 1"],
        undo=["ip netns exec @vpegw-b iptables -t nat -A POSTROUTING -o bb-z1 -m conntrack --ctorigdst 10.240.0.10"
              " -j SNAT --to-source 10.240.0.10"],
    ),
    Sabotage(
        VPE, "security group that lets everybody in", ["N6-group"], "fail",
        do=["ip netns exec @vpegw-b iptables -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"],
        undo=["ip netns exec @vpegw-b iptables -D FORWARD 1"],
    ),
    Sabotage(
        VPE, "UDP from outside passed on", ["N7"], "fail",
        do=["ip netns exec @vpegw-t iptables -t nat -I PREROUTING -d 10.240.0.20 -p udp -j DNAT"
            " --to-destination 166.9.20.20"],
        undo=["ip netns exec @vpegw-t iptables -t nat -D PREROUTING 1"],
    ),
    Sabotage(
        VPE, "route back to the VPC missing", ["P1", "P2"], "fail",
        do=["ip -n @bb route del 10.240.0.0/24"],
    ),
    Sabotage(
        VPE, "gateway answers ping", ["N1"], "fail",
        do=["ip netns exec @vpegw-a iptables -P INPUT ACCEPT"],
        undo=["ip netns exec @vpegw-a iptables -P INPUT DROP"],
    ),
    Sabotage(
        MULTI, "a leg that answers by another leg's routes", ["P4-cross"], "fail",
        do=["ip -n @vpegw rule add priority 10 iif bb-z3 lookup 1"],
        undo=["ip -n @vpegw rule del priority 10"],
    ),
    Sabotage(
        MULTI, "a leg that calls the service by another leg's address", ["P4-z2"], "fail",
        do=["ip netns exec @vpegw iptables -t nat -I POSTROUTING -o bb-z2 -j SNAT --to-source 10.240.0.9"],
        undo=["ip netns exec @vpegw iptables -t nat -D POSTROUTING 1"],
    ),
    Sabotage(
        MULTI, "one leg's link to the backbone is cut", ["P4-z1"], "fail",
        do=["ip -n @vpegw link set bb-z1 down"],
    ),
    Sabotage(MULTI, "resolver killed", ["P3-z1", "P3-z2"], "fail", kill="^resolver|resolver:"),
    Sabotage(
        MULTI, "sniffer pointed at the wrong link", ["P4-z1"], "fail", file="topologies/vpe-multizone.yaml",
        edit=("{on: vpegw.z1, proto: tcp, src: vsi1,", "{on: vpegw.z2, proto: tcp, src: vsi1,"),
    ),
    Sabotage(
        NSX, "an edge that translates overlay addresses", ["P3", "P7"], "fail",
        do=["ip netns exec @edge1 iptables -t nat -A POSTROUTING -o vmw-uplink -j MASQUERADE"],
        undo=["ip netns exec @edge1 iptables -t nat -D POSTROUTING 1"],
    ),
    Sabotage(
        NSX, "a route of one zone that every zone sees", ["N4"], "fail",
        do=["ip -n @vmw rule add priority 900 lookup 100"],
        undo=["ip -n @vmw rule del priority 900"],
    ),
    Sabotage(
        NSX, "an edge that sends into the VPC by its public uplink", ["P5"], "fail",
        do=["ip -n @edge1 route replace 10.240.0.0/16 via 192.168.1.1"],
        undo=["ip -n @edge1 route replace 10.240.0.0/16 via 192.168.0.1"],
    ),
    Sabotage(NSX, "resolver killed", ["P2"], "fail", kill="^resolver|resolver:"),
    Sabotage(
        NSX, "sniffer pointed at the wrong link", ["P3"], "fail", file="topologies/vpe-nsxt-overlay.yaml",
        edit=("{on: vmw.uplink, proto: tcp, src: 192.168.4.10, dst: 10.240.0.9",
              "{on: vmw.public, proto: tcp, src: 192.168.4.10, dst: 10.240.0.9"),
    ),
    Sabotage(
        CUSTOM, "a router that loses what the resolver asks on-premises", ["P1"], "fail",
        do=["ip netns exec @vmw iptables -I FORWARD -s 10.20.30.5 -d 192.168.5.2 -j DROP"],
        undo=["ip netns exec @vmw iptables -D FORWARD 1"],
    ),
    Sabotage(
        CUSTOM, "a gateway that passes UDP from on-premises", ["N2"], "fail",
        do=["ip netns exec @vpegw iptables -t nat -I PREROUTING -d 10.20.30.9 -p udp -j DNAT"
            " --to-destination 166.9.20.10"],
        undo=["ip netns exec @vpegw iptables -t nat -D PREROUTING 1"],
    ),
    Sabotage(
        CUSTOM, "a provider's DNS that on-premises reaches by the resolver", ["N1"], "fail",
        do=["ip netns exec @vmw iptables -t nat -I PREROUTING -s 192.168.4.20 -d 161.26.0.7 -p udp -j DNAT"
            " --to-destination 10.20.30.5"],
        undo=["ip netns exec @vmw iptables -t nat -D PREROUTING 1"],
    ),
    Sabotage(CUSTOM, "resolver killed", ["P1", "P7"], "fail", kill="^resolver|resolver:"),
    Sabotage(
        CUSTOM, "sniffer pointed at the wrong link", ["P2"], "fail", file="topologies/vpe-custom-resolver.yaml",
        edit=("{on: dl, proto: udp, src: 192.168.5.2, dst: 10.20.30.5", "{on: bb, proto: udp, src: 192.168.5.2, dst: "
              "10.20.30.5"),
    ),
    Sabotage(
        UPGRADE, "a shared resolver that knows private names", ["N1", "P3", "N2"], "fail",
        do=["ip netns exec @bb iptables -t nat -I PREROUTING -d 161.26.0.10 -p udp -j DNAT"
            " --to-destination 161.26.0.7"],
        undo=["ip netns exec @bb iptables -t nat -D PREROUTING 1"],
    ),
    Sabotage(
        UPGRADE, "a gateway without its leg in the subnet", ["P2-service"], "fail",
        do=["ip -n @vpegw link set vmw-z1 down"],
    ),
    Sabotage(UPGRADE, "resolver killed", ["P2"], "fail", kill="^resolver|resolver:"),
    Sabotage(
        UPGRADE, "sniffer pointed at the wrong link", ["P2"], "fail", file="topologies/vpe-dns-upgrade.yaml",
        edit=("{on: bb, proto: udp, src: 10.240.0.4, dst: 161.26.0.7", "{on: shared, proto: udp, src: 10.240.0.4, dst: "
              "161.26.0.7"),
    ),
    Sabotage(VPE, "resolver killed", ["P1", "P3"], "fail", kill="^resolver|resolver:"),
    Sabotage(VPE, "prober killed", ["P1", "N1"], "inconclusive", hunt=PROBER),
    Sabotage(
        VPE, "sniffer pointed at the wrong link", ["P2"], "fail", file="topologies/vpe-subnet.yaml",
        edit=("{on: bb, proto: tcp, src: 10.240.0.9", "{on: inet, proto: tcp, src: 10.240.0.9"),
    ),
    Sabotage(
        VPE, "control that does not pass", ["N1"], "inconclusive", file="topologies/vpe-subnet.yaml",
        edit=("do: {ping: {to: 10.240.0.1}}", "do: {ping: {to: 10.240.0.10}}"),
    ),
    Sabotage(
        PVS, "wrong key", ["P1"], "fail",
        do=[f"ip -n @cpe xfrm state delete {OUTWARD} {OUTWARD_SPI}",
            f"ip -n @cpe xfrm state add {OUTWARD} {OUTWARD_SPI} {CBC}"],
    ),
    Sabotage(
        PVS, "wrong SPI", ["P1"], "fail",
        do=[f"ip -n @cpe xfrm state delete {OUTWARD} {OUTWARD_SPI}",
            f"ip -n @cpe xfrm state add {OUTWARD} spi 0x9999 {CBC}"],
    ),
    Sabotage(
        PVS, "route into the tunnel missing", ["P1"], "fail",
        do=["ip -n @power route del 172.20.10.0/24 metric 10"],
        undo=["ip -n @power route add 172.20.10.0/24 via 172.16.3.6 dev byoip metric 10"],
    ),
    Sabotage(
        PVS, "leak guard removed", ["N9"], "fail",
        do=["ip -n @vra route del unreachable 192.168.50.0/24 metric 4000000"],
    ),
    Sabotage(
        PVS, "backbone passes everything", ["N2"], "fail",
        do=["ip netns exec @classic iptables -P FORWARD ACCEPT",
            "ip -n @classic route add 192.168.50.0/24 via 169.254.254.2"],
        undo=["ip netns exec @classic iptables -P FORWARD DROP", "ip -n @classic route del 192.168.50.0/24"],
    ),
    Sabotage(PVS, "prober killed", ["P1", "N9"], "inconclusive", hunt=PROBER),
    Sabotage(
        PVS, "sniffer pointed at the wrong link", ["P1"], "fail", file="topologies/pvs-ipsec-gre-byoip.yaml",
        edit=("{on: dl, proto: gre, src: 10.148.252.83", "{on: power.plain, proto: gre, src: 10.148.252.83"),
    ),
    Sabotage(
        VPN, "wrong key on the active connection", ["P2", "P4"], "fail",
        do=[f"ip -n @gw xfrm state delete {T1} {T1_SPI}", f"ip -n @gw xfrm state add {T1} {T1_SPI} {GCM}"],
    ),
    Sabotage(
        VPN, "standby has no key", ["D1"], "fail",
        do=[f"ip -n @gw xfrm state delete {T2} {T2_SPI}"],
    ),
    Sabotage(
        VPN, "cleartext let in", ["N2"], "fail",
        do=["ip -n @gw xfrm policy delete src 172.16.10.0/24 dst 10.0.0.0/16 dir fwd"],
    ),
    Sabotage(
        VPN, "a way out to the Internet", ["N1"], "fail",
        do=["ip -n @vpc1 route add default via 10.0.1.2"],
        undo=["ip -n @vpc1 route del default"],
    ),
    Sabotage(VPN, "nobody watches the paths", ["D2"], "fail", kill="paths:"),
    Sabotage(VPN, "prober killed", ["P1", "D1"], "inconclusive", hunt=PROBER),
    Sabotage(
        VPN, "sniffer pointed at the wrong link", ["P2"], "fail", file="topologies/vpn-dc-failover.yaml",
        edit=("see: [{on: isp1, proto: esp, longer: 1000}]", "see: [{on: isp2, proto: esp, longer: 1000}]"),
    ),
]  # fmt: skip
