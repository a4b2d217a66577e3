import dataclasses
import json
import os
from pathlib import Path

import pytest

from labctl import codec
from labctl.kernel import sections
from labctl.kernel.fingerprint import Difference, Fingerprint, Footprint, differences
from labctl.kernel.paths import Paths

BEFORE = Fingerprint(
    links=("eth0 mtu 1500", "lo mtu 65536"),
    firewall=("iptables: nat -A POSTROUTING -j MASQUERADE",),
    sysctls=("net.ipv4.ip_forward = 0", "net.ipv4.tcp_rmem = 1 2 3"),
    mounts=("/ ext4",),
    processes=("1@4 /sbin/init", "77@900 nginx: worker"),
    labs=("/run/labctl/a",),
)


def test_the_same_is_no_difference() -> None:
    assert differences(BEFORE, BEFORE) == ()


@pytest.mark.parametrize(
    "section", [field.name for field in dataclasses.fields(Fingerprint) if field.name != "sysctls"]
)
def test_something_new_is_named_in_every_section(section: str) -> None:
    after = dataclasses.replace(BEFORE, **{section: (*getattr(BEFORE, section), "9@9 new thing")})
    assert differences(BEFORE, after) == (Difference(section, (), ("9@9 new thing",)),)


def test_what_changed_is_in_both() -> None:
    after = dataclasses.replace(BEFORE, links=("eth0 mtu 9000", "lo mtu 65536"))
    assert differences(BEFORE, after) == (Difference("links", ("eth0 mtu 1500",), ("eth0 mtu 9000",)),)


def test_a_second_rule_like_the_first_is_a_difference() -> None:
    after = dataclasses.replace(BEFORE, firewall=BEFORE.firewall * 2)
    assert differences(BEFORE, after) == (Difference("firewall", (), BEFORE.firewall),)


def test_a_changed_sysctl_counts_and_one_of_a_new_module_does_not() -> None:
    after = dataclasses.replace(
        BEFORE,
        sysctls=("net.ipv4.ip_forward = 1", "net.ipv4.tcp_rmem = 1 2 3", "net.netfilter.nf_conntrack_max = 9"),
    )
    assert differences(BEFORE, after) == (
        Difference("sysctls", ("net.ipv4.ip_forward = 0",), ("net.ipv4.ip_forward = 1",)),
    )


def test_processes_that_ended_or_renamed_themselves_do_not_count() -> None:
    assert differences(BEFORE, dataclasses.replace(BEFORE, processes=("77@900 nginx: idle",))) == ()


def test_a_reused_process_number_is_a_new_process() -> None:
    after = dataclasses.replace(BEFORE, processes=("77@901 nginx: worker",))
    assert differences(BEFORE, after) == (Difference("processes", (), ("77@901 nginx: worker",)),)


MINE = Footprint(Paths("b"), ("8@9",))


def test_other_labs_may_come_and_go() -> None:
    before = dataclasses.replace(BEFORE, mounts=("/ ext4", "/run/labctl/bb/ns tmpfs"))
    after = dataclasses.replace(
        BEFORE, labs=("/run/labctl/cc",), namespaces=("/run/netns/c-gw -> /run/labctl/c/ns/gw",)
    )
    assert differences(before, after, MINE) == ()


def test_what_differs_is_told_apart_by_whose_it_is() -> None:
    after = dataclasses.replace(
        BEFORE,
        links=("eth0 mtu 1500", "eth1 mtu 1500", "lo mtu 65536"),
        mounts=("/ ext4", "/media/stick vfat", "/run/labctl/b/ns tmpfs"),
        namespaces=("/run/netns/b-gw -> /run/labctl/b/ns/gw", "/run/netns/theirs"),
        labs=("/run/labctl/a", "/run/labctl/b"),
    )
    assert differences(BEFORE, after, MINE) == (
        Difference("links", (), ("eth1 mtu 1500",)),
        Difference("mounts", (), ("/media/stick vfat", "/run/labctl/b/ns tmpfs"), ("/run/labctl/b/ns tmpfs",)),
        Difference(
            "namespaces",
            (),
            ("/run/netns/b-gw -> /run/labctl/b/ns/gw", "/run/netns/theirs"),
            ("/run/netns/b-gw -> /run/labctl/b/ns/gw",),
        ),
        Difference("labs", (), ("/run/labctl/b",), ("/run/labctl/b",)),
    )


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("8@9 sleep 99", True),
        ("8@10 sleep 99", False),
        ("9@9 python3 -P -m labctl.services.supervisor b /run/labctl", True),
        ("9@9 python3 -P -m labctl.probes.prober b", True),
        ("9@9 python3 -P -m labctl.services.supervisor bb /run/labctl", False),
    ],
)
def test_of_new_processes_only_the_labs_own_count(line: str, ours: bool) -> None:
    after = dataclasses.replace(BEFORE, processes=(*BEFORE.processes, line))
    assert bool(differences(BEFORE, after, MINE)) == ours


def test_a_fingerprint_survives_json() -> None:
    assert codec.decode(Fingerprint, json.loads(json.dumps(codec.encode(BEFORE)))) == BEFORE


def test_a_tunnel_modules_own_device_is_no_link_until_somebody_uses_it() -> None:
    unused = {"ifname": "gre0", "flags": ["NOARP"], "mtu": 1476}
    used = {"ifname": "gretap0", "flags": ["UP"], "mtu": 1462}
    assert sections.links(json.dumps([unused, used, {}])) == ("gretap0 flags UP mtu 1462",)


def test_lifetimes_and_timers_are_left_out() -> None:
    address = {"local": "192.0.2.1", "prefixlen": 24, "valid_life_time": 3599}
    assert sections.addresses(json.dumps([{"ifname": "eth0", "addr_info": [address, {}]}])) == (
        "eth0 192.0.2.1 prefixlen 24",
    )
    bridge = {"ifname": "br0", "flags": [], "linkinfo": {"info_kind": "bridge", "info_data": {"gc_timer": 3.1, "a": 1}}}
    assert sections.links(json.dumps([bridge])) == ("br0 flags - linkinfo (info_data (a 1) info_kind bridge)",)


def test_firewall_rules_are_told_with_their_place_and_without_counters() -> None:
    nft = "table inet t {\n\tchain c {\n\t\ttype filter hook input priority 0;\n\t\taccept\n\t}\n}\n"
    saved = "# comment\n*nat\n:OUTPUT ACCEPT [12:345]\n[3:4] -A OUTPUT -j ACCEPT\nCOMMIT\n"
    assert sections.firewall({"nft": nft, "iptables": saved}) == (
        "iptables: nat -A OUTPUT -j ACCEPT",
        "iptables: nat :OUTPUT ACCEPT",
        "nft: table inet t",
        "nft: table inet t > chain c",
        "nft: table inet t > chain c > accept",
        "nft: table inet t > chain c > type filter hook input priority 0;",
    )


def test_security_associations_are_told_without_keys_and_sequence_numbers() -> None:
    text = (
        "src 192.0.2.1 dst 192.0.2.2\n\tproto esp spi 0x1 reqid 1 mode tunnel\n"
        "\tenc cbc(aes) 0xsecret\n\tanti-replay context: seq 0x7, oseq 0x0\n\tif_id 0x7\n"
    )
    policy = "src 0.0.0.0/0 dst 0.0.0.0/0 \n\tdir out priority 0 \n"
    assert sections.xfrm(text * 2, policy) == (
        "policy src 0.0.0.0/0 dst 0.0.0.0/0 dir out priority 0",
        *("state src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1 reqid 1 mode tunnel if_id 0x7",) * 2,
    )


def test_mounts_are_told_without_the_kernels_numbers(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("36 35 98:0 /sub /mnt rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n")
    assert sections.mounts(table) == ("/mnt ext3 /dev/root rw,errors=continue root=/sub rw,noatime shared master",)


def test_sysctls_without_counters_and_secrets(tmp_path: Path) -> None:
    for name, value in {
        "ipv4/ip_forward": "1\n",
        "ipv4/tcp_fastopen_key": "k",
        "netfilter/nf_conntrack_count": "3",
    }.items():
        (tmp_path / "net" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "net" / name).write_text(value)
    assert sections.sysctls(tmp_path / "net") == ("net.ipv4.ip_forward = 1",)


def test_a_file_is_told_by_its_content_unless_it_is_private(tmp_path: Path) -> None:
    for name, mode in (("hosts", 0o644), ("shadow", 0o600)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
        os.utime(tmp_path / name, (5, 5))
    before = sections.files(tmp_path)
    for name in ("hosts", "shadow"):
        (tmp_path / name).write_text("y")
        os.utime(tmp_path / name, (5, 5))
    changed = set(sections.files(tmp_path)) ^ set(before)
    assert {line.split()[0] for line in changed} == {str(tmp_path / "hosts")}


def test_entries_of_a_folder_show_where_links_lead(tmp_path: Path) -> None:
    (tmp_path / "a-gw").symlink_to("/run/labctl/a/ns/gw")
    (tmp_path / ".locks").mkdir()
    assert sections.entries(tmp_path) == (f"{tmp_path}/a-gw -> /run/labctl/a/ns/gw",)
    assert sections.entries(tmp_path / "absent") == ()


def test_this_process_and_its_ancestors_are_not_listed() -> None:
    listed = {int(line.partition("@")[0]) for line in sections.processes()}
    assert not listed & {os.getpid(), os.getppid()}


@pytest.mark.parametrize("section", ["mounts", "namespaces", "labs"])
def test_a_lab_that_is_there_is_seen_in_a_fingerprint(section: str) -> None:
    found = dataclasses.replace(BEFORE, **{section: ("/run/netns/b-n0 -> /run/labctl/b/ns/n0",)})
    assert MINE.is_in(found)
    assert not MINE.is_in(BEFORE)
