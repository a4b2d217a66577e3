"""Zones that are copied: versions, transfers whole and in part, NOTIFY, and copies that grow old."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from dns_world import EPOCH, STUB, Packet, World, data, rcode
from dnslib import QTYPE, RR, SOA, A, DNSHeader, DNSLabel, DNSQuestion, DNSRecord

from labctl.model.services import Record, Secondary, Zone
from labctl.resolver.buffer import key_of
from labctl.resolver.copying import Transfer
from labctl.resolver.transfers import MOST_CHANGES, is_newer
from labctl.resolver.zonedata import ZoneData

CR, OTHER, ONPREM, SPARE = "10.20.30.5", "10.20.31.5", "192.168.5.2", "192.168.5.3"
NAME = "onprem.example.com"


def at(*addresses: str) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(each) for each in addresses)


def site(*hosts: int, **options: Any) -> Zone:
    records = tuple(Record(f"w{host}.{NAME}", "A", f"192.168.4.{host}") for host in hosts)
    return Zone(NAME, records, **{"transfer_to": at(CR), **options})


COPIES = (Secondary(NAME, at(ONPREM, SPARE)),)


@pytest.fixture
def world() -> World:
    """A primary, and a secondary that has its copy."""
    made = World()
    made.serve(ONPREM, zones=(site(1, 2, 3),))
    made.serve(CR, secondaries=COPIES)
    made.run(1)
    return made


def kinds(world: World, to: str = ONPREM) -> list[str]:
    """What the primary was asked for since this was called last, and how."""
    asked = [" ".join(each.split()[2::2]) for each in world.queries(to)]
    world.packets.clear()
    return asked


def serial(world: World, at_server: str) -> int:
    [soa] = world.ask(NAME, at_server, "SOA", source=CR).rr
    return int(soa.rdata.times[0])


def test_a_copy_is_taken_at_the_start_and_answers_with_authority(world: World) -> None:
    assert kinds(world)[:2] == ["SOA udp", "AXFR tcp"]
    reply = world.ask(f"w2.{NAME}", CR)
    assert (data(reply), reply.header.aa) == (["192.168.4.2"], 1)
    assert rcode(world.ask(f"w9.{NAME}", CR)) == "NXDOMAIN"
    assert kinds(world) == []


def test_a_copy_answers_while_the_primary_is_away(world: World) -> None:
    world.dead.add(ONPREM)
    world.run(4000)
    assert data(world.ask(f"w2.{NAME}", CR)) == ["192.168.4.2"]


def test_without_a_copy_the_answer_is_servfail_until_a_primary_can_be_had() -> None:
    world = World()
    world.serve(CR, secondaries=COPIES)
    world.run(2)
    assert rcode(world.ask(f"w1.{NAME}", CR)) == "SERVFAIL"
    world.serve(SPARE, zones=(site(1),))
    world.run(20)
    assert data(world.ask(f"w1.{NAME}", CR)) == ["192.168.4.1"]


def test_the_state_of_a_copy_settles_whether_or_not_there_is_a_primary(world: World) -> None:
    secondary = world.restart(CR, secondaries=COPIES)
    assert secondary.copies() == {NAME: "copying"}
    world.run(1)
    assert secondary.copies() == {NAME: "current"}
    world.dead |= {ONPREM, SPARE}
    world.run(4000)
    assert secondary.copies() == {NAME: "current"}
    alone = world.restart(CR, secondaries=COPIES)
    assert alone.copies() == {NAME: "copying"}
    world.run(60)
    assert alone.copies() == {NAME: "missing"}


def test_a_change_is_told_and_only_the_difference_is_fetched(world: World) -> None:
    kinds(world)
    before = serial(world, ONPREM)
    world.serve(ONPREM, zones=(site(2, 3, 4),))
    world.run(1)
    assert kinds(world) == ["SOA udp", "SOA udp", "IXFR tcp"]
    assert [rcode(world.ask(f"w{n}.{NAME}", CR)) for n in (1, 2, 4)] == ["NXDOMAIN", "NOERROR", "NOERROR"]
    assert serial(world, CR) == serial(world, ONPREM) == before + 1


def test_nothing_changed_and_nobody_is_told(world: World) -> None:
    kinds(world)
    world.serve(ONPREM, zones=(site(1, 2, 3),))
    world.run(1)
    assert kinds(world) == []


def test_a_serial_that_is_configured_greater_counts(world: World) -> None:
    last = serial(world, ONPREM)
    world.serve(ONPREM, zones=(site(1, 2, 3, serial=last + 10),))
    world.run(1)
    assert serial(world, CR) == last + 10
    world.serve(ONPREM, zones=(site(1, 2, 3, serial=5),))
    assert serial(world, ONPREM) == last + 10


def test_a_primary_that_starts_again_has_a_greater_serial_than_before(world: World) -> None:
    for n in range(5):
        world.serve(ONPREM, zones=(site(1, n + 10),))
    world.run(60)
    world.restart(ONPREM, zones=(site(7),))
    world.run(1)
    assert data(world.ask(f"w7.{NAME}", CR)) == ["192.168.4.7"]
    assert serial(world, CR) == EPOCH + 61 + 1


def test_a_zone_that_nobody_copies_has_the_serial_it_was_given_and_counts_changes() -> None:
    world = World()
    world.serve(ONPREM, zones=(site(1, transfer_to=(), serial=7),))
    assert serial(world, ONPREM) == 7
    world.serve(ONPREM, zones=(site(2, transfer_to=(), serial=7),))
    assert serial(world, ONPREM) == 8


def test_differences_that_are_forgotten_are_replaced_by_the_whole(world: World) -> None:
    world.dead.add(ONPREM)
    for n in range(MOST_CHANGES + 2):
        world.serve(ONPREM, zones=(site(1, 10 + n),))
    world.run(10)
    world.dead.clear()
    world.serve(ONPREM, zones=(site(1, 5),))
    world.run(2)
    assert data(world.ask(f"w5.{NAME}", CR)) == ["192.168.4.5"]
    assert rcode(world.ask(f"w2.{NAME}", CR)) == "NXDOMAIN"


def test_differences_over_several_versions_are_put_together(world: World) -> None:
    world.dead.add(ONPREM)
    for hosts in ((1, 2), (1, 2, 8), (2, 8, 9)):
        world.serve(ONPREM, zones=(site(*hosts),))
    world.run(10)
    world.dead.clear()
    kinds(world)
    world.run(3700)
    assert kinds(world) == ["SOA udp", "IXFR tcp"]
    assert [rcode(world.ask(f"w{n}.{NAME}", CR)) for n in (1, 3, 2, 8, 9)] == ["NXDOMAIN"] * 2 + ["NOERROR"] * 3


def test_a_primary_without_differences_gives_the_whole(world: World) -> None:
    def old(packet: Packet) -> bytes:
        read = DNSRecord.parse(packet.message)
        return packet.message[:3] + b"\4" + bytes(8) if read.q.qtype == QTYPE.IXFR else packet.message

    world.mangle = old
    kinds(world)
    world.serve(ONPREM, zones=(site(6),))
    world.run(1)
    assert kinds(world)[1:] == ["IXFR tcp", "AXFR tcp"]
    assert data(world.ask(f"w6.{NAME}", CR)) == ["192.168.4.6"]


def test_a_notify_of_somebody_else_changes_nothing(world: World) -> None:
    kinds(world)
    query = DNSRecord(DNSHeader(id=9, opcode=4, aa=1, rd=0), q=DNSQuestion(NAME, QTYPE.SOA))
    codes = []
    for source, name in ((STUB, NAME), (ONPREM, "elsewhere.test"), (ONPREM, NAME)):
        query.questions = [DNSQuestion(name, QTYPE.SOA)]
        number = world.send(bytes(query.pack()), CR, source)
        reply = world.replies[number][1]
        assert reply[:3] == b"\0\x09" + bytes([0xA4 if source == ONPREM and name == NAME else 0xA0])
        codes.append(reply[3] & 15)
        world.run(1)
    assert codes == [5, 9, 0]
    assert kinds(world) == ["SOA udp"]


def test_notify_is_repeated_until_it_is_answered(world: World) -> None:
    world.dead.add(CR)
    world.serve(ONPREM, zones=(site(5),))
    world.run(2.5)
    world.dead.clear()
    world.run(2)
    assert data(world.ask(f"w5.{NAME}", CR)) == ["192.168.4.5"]
    assert world.servers[ONPREM].exchanges.due() is None


def test_the_times_of_the_soa_are_kept(world: World) -> None:
    kinds(world)
    world.run(3590)
    assert kinds(world) == []
    world.run(20)
    assert kinds(world) == ["SOA udp"]
    world.dead.add(ONPREM)
    world.run(3600)
    started = world.now
    world.sent.clear()
    world.run(1300)
    assert 2 <= len({int(world.now - started)} | {each.exchange for each in world.sent}) - 1 <= 8
    world.run(86400)
    assert rcode(world.ask(f"w2.{NAME}", CR)) == "SERVFAIL"
    world.dead.clear()
    world.run(120)
    assert data(world.ask(f"w2.{NAME}", CR)) == ["192.168.4.2"]


def test_a_zone_is_given_to_those_it_may_be_given_to_and_refused_to_all_others(world: World) -> None:
    for qtype in ("AXFR", "IXFR"):
        for transport in ("tcp", "udp"):
            assert rcode(world.ask(NAME, ONPREM, qtype, source=OTHER, transport=transport)) == "REFUSED"
    assert rcode(world.ask(NAME, ONPREM, "AXFR", source=CR, transport="udp")) == "FORMERR"
    assert rcode(world.ask("elsewhere.test", ONPREM, "AXFR", source=CR, transport="tcp")) == "REFUSED"
    whole = world.ask(NAME, ONPREM, "AXFR", source=CR, transport="tcp")
    assert [QTYPE.get(rr.rtype) for rr in whole.rr] == ["SOA", "A", "A", "A", "NS", "SOA"]
    assert rcode(world.ask(NAME, CR, "AXFR", source=ONPREM, transport="tcp")) == "REFUSED"


def test_a_big_zone_is_given_in_several_messages_and_arrives_whole() -> None:
    world = World()
    records = tuple(Record(f"host-{n}.{NAME}", "A", f"10.{n // 250}.{n % 250}.1") for n in range(5000))
    world.serve(ONPREM, zones=(Zone(NAME, records, transfer_to=at(CR)),))
    world.serve(CR, secondaries=COPIES)
    world.run(2)
    for n in (0, 2500, 4999):
        assert data(world.ask(f"host-{n}.{NAME}", CR)) == [f"10.{n // 250}.{n % 250}.1"]
    assert len([each for each in world.packets if each.source == ONPREM and each.transport == "tcp"]) > 3


def test_differences_by_udp_are_whole_or_ask_for_tcp(world: World) -> None:
    version = serial(world, ONPREM)
    query = DNSRecord(DNSHeader(id=1, rd=0), q=DNSQuestion(NAME, QTYPE.IXFR))
    query.add_auth(RR(NAME, QTYPE.SOA, rdata=SOA("ns", "hostmaster", (version, 1, 1, 1, 1))))
    wire = bytes(query.pack())

    def answered() -> list[str]:
        reply = DNSRecord.parse(world.replies[world.send(wire, ONPREM, CR)][1])
        return [str(QTYPE.get(rr.rtype)) for rr in reply.rr]

    assert answered() == ["SOA"]
    world.serve(ONPREM, zones=(site(1, 2, 3, 4),))
    assert answered() == ["SOA", "SOA", "SOA", "A", "SOA"]
    world.serve(ONPREM, zones=(site(*range(1, 100)),))
    assert answered() == ["SOA"]


def test_other_primaries_are_asked_at_once_and_a_zone_that_is_no_copy_any_more_is_forgotten(world: World) -> None:
    world.serve(SPARE, zones=(site(8, serial=50),))
    world.serve(CR, secondaries=(Secondary(NAME, at(SPARE)),))
    world.run(1)
    assert data(world.ask(f"w8.{NAME}", CR)) == ["192.168.4.8"]
    world.serve(CR, secondaries=())
    assert rcode(world.ask(f"w8.{NAME}", CR)) == "NXDOMAIN"
    world.run(10_000)
    assert world.servers[CR].exchanges.due() is None


def test_differences_may_come_cut_into_messages_anywhere() -> None:
    def soa(serial: int) -> RR:
        return RR(NAME, QTYPE.SOA, rdata=SOA("ns", "hostmaster", (serial, 1, 1, 1, 1)))

    def host(number: int) -> RR:
        return RR(f"w{number}.{NAME}", rdata=A(f"192.168.4.{number}"))

    base = ZoneData(soa(1), [host(1), host(2)])
    records = [soa(3), soa(1), host(1), soa(2), host(4), soa(2), host(4), soa(3), host(5), soa(3)]
    for each in ([records[:n], records[n:]] for n in range(1, len(records))):
        transfer = Transfer(key_of(DNSLabel(NAME)), 7, base)
        messages = [DNSRecord(DNSHeader(id=7, qr=1), q=DNSQuestion(NAME, QTYPE.IXFR), rr=part) for part in each]
        assert transfer.feed(bytes(messages[0].pack())) is None
        found = transfer.feed(bytes(messages[1].pack()))
        assert found is not None
        assert (found.serial, [str(rr.rname) for rr in found.records]) == (3, [f"w2.{NAME}.", f"w5.{NAME}."])


@pytest.mark.parametrize(
    ("serial", "than", "newer"),
    [(2, 1, True), (1, 1, False), (1, 2, False), (0, 2**32 - 1, True), (2**31, 0, False), (2**31 - 1, 0, True)],
)
def test_serials_are_compared_on_a_circle(serial: int, than: int, newer: bool) -> None:
    assert is_newer(serial, than) is newer
