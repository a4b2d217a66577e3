from __future__ import annotations

from dataclasses import replace
from xml.etree.ElementTree import Element

from report_lab import FLOWS, QUOTE, SEEN

from labctl.probes.wire import Flow
from labctl.report.ladder import MOST_ROWS, ladder, places_of, rows_of
from labctl.report.words import packet


def cells(flows: tuple[Flow, ...]) -> list[list[str]]:
    table = ladder(flows, {"dc", "isp1"}, "caption")
    assert table is not None
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")][1:]


def test_packets_come_in_the_order_in_which_they_were_first_seen() -> None:
    assert [row[:2] for row in cells(FLOWS)] == [
        ["+0.0 ms", "dc: port of dc-host"],
        ["+0.2 ms", "cgw: dc"],
        ["+0.4 ms", "isp1: port of cgw"],
        ["+11.3 ms", "server: app"],
    ]


def test_a_place_is_called_by_the_names_that_the_description_has_for_it() -> None:
    port = replace(FLOWS[2], tap="inet", namespace="isp1")
    assert cells((port, replace(port, tap="cgw.inet")))[0][1] == "inet, cgw.inet: port of cgw"
    assert cells((replace(SEEN, tap="everywhere", namespace="cgw", device="t1"),))[0][1] == "cgw: t1 (everywhere)"
    assert cells((replace(SEEN, tap="source", namespace="cgw", device="t1"),))[0][1] == "cgw: t1"


def test_a_packet_that_shows_the_marker_is_told_so() -> None:
    words = [row[2] for row in cells(FLOWS)]
    assert words[0] == "TCP 172.16.10.10:40000 → 10.0.1.10:8080 marker in clear"
    assert words[2] == "ESP 198.51.100.20 → 198.51.100.10 SPI 0x00001001"


def test_what_was_seen_at_one_device_under_two_names_is_one_row() -> None:
    twice = (SEEN, replace(SEEN, tap="dc-host.side"), replace(SEEN, tap="path dc-host"))
    [row] = rows_of(twice)
    assert row.names == ("dc", "dc-host.side")
    assert row.flow.packets == SEEN.packets


def test_flows_that_differ_by_their_source_port_alone_are_one_row() -> None:
    many = tuple(replace(SEEN, sport=40000 + i, packets=2, marked=1, data=100, first_ms=1000.0 + i) for i in range(50))
    [row] = cells(many)
    assert "172.16.10.10 (50 ports) → 10.0.1.10:8080" in row[2]
    assert row[3:] == ["100", "5 kB, longest 1500"]
    inside = tuple(replace(QUOTE, inner=replace(SEEN, sport=i), packets=1) for i in range(1, 51))
    assert "50 ports" in cells(inside)[0][2]


def test_few_flows_keep_their_ports() -> None:
    assert len(cells(tuple(replace(SEEN, sport=40000 + i) for i in range(3)))) == 3


def test_more_rows_than_a_reader_wants_are_counted() -> None:
    flows = tuple(replace(SEEN, dport=i + 1) for i in range(MOST_ROWS + 7))
    table = ladder(flows, (), "caption")
    assert table is not None
    assert len(list(table.iter("tr"))) == MOST_ROWS + 1
    assert table.findtext("p") == "also 7 more kinds of packets: in the JSON results"


def test_no_packets_are_no_table() -> None:
    assert ladder((), (), "caption") is None


def test_how_neighbours_find_each_other_is_left_aside_and_counted() -> None:
    flows = (SEEN, replace(SEEN, proto="arp", packets=2), replace(SEEN, proto="0x86dd", packets=1))
    table = ladder(flows, (), "caption")
    assert table is not None
    assert len(list(table.iter("tr"))) == 2
    assert table.findtext("p") == "also 3 sightings of ARP and the like: in the JSON results"
    assert places_of(flows, marked=True) == [("dc", "dc-host")]
    assert places_of(flows, marked=False) == []


def test_packets_in_words() -> None:
    inner = Flow("", "", "", "tcp", "172.16.10.10", "10.0.1.10", sport=40000, dport=22)
    plain = Flow("", "", "", "gre", "10.0.0.1", "10.0.0.2", inner=inner)
    assert packet(plain) == "GRE 10.0.0.1 → 10.0.0.2 around (TCP 172.16.10.10:40000 → 10.0.1.10:22)"
    geneve = replace(plain, proto="geneve", sport=5000, dport=6081, vni=0)
    assert packet(geneve).startswith("GENEVE 10.0.0.1:5000 → 10.0.0.2:6081 VNI 0 around (TCP")
    assert packet(QUOTE).startswith("ICMP prohibited 198.51.100.10 → 198.51.100.66 about (TCP ")
    assert packet(Flow("", "", "", "icmp", "a", "b", icmp="8/0")) == "ICMP echo request a → b"
    assert packet(Flow("", "", "", "icmp", "a", "b", icmp="99/1")) == "ICMP 99/1 a → b"
    assert [packet(Flow("", "", "", proto, "a", "b")) for proto in ("112", "2", "99")] == [
        "VRRP a → b", "IGMP a → b", "IP protocol 99 a → b",
    ]  # fmt: skip


def test_a_table_has_a_caption_and_heads_for_readers_aloud() -> None:
    table = ladder(FLOWS, (), "caption")
    assert isinstance(table, Element)
    assert table.findtext("table/caption") == "caption"
    assert {head.get("scope") for head in table.iter("th")} == {"col"}


def test_few_alike_stand_each_at_their_own_time() -> None:
    flows = (SEEN, replace(SEEN, dport=22, first_ms=1005.0), replace(SEEN, sport=40001, first_ms=1010.0))
    assert [row[0] for row in cells(flows)] == ["+0.0 ms", "+5.0 ms", "+10.0 ms"]


def test_many_alike_stand_at_the_time_of_the_first() -> None:
    late = tuple(replace(SEEN, sport=40000 + i, first_ms=1020.0 - i) for i in range(9))
    other = replace(SEEN, dport=22, first_ms=1015.0)
    assert [row[0] for row in cells((other, *late))] == ["+0.0 ms", "+3.0 ms"]
