"""A resolver that asks other servers: which, when, how often, and what it remembers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from dns_world import LATENCY, STUB, Packet, World, data, rcode
from dnslib import RR, SOA, A, DNSHeader, DNSQuestion, DNSRecord

from labctl.model.services import Forward, Record, Zone
from labctl.resolver.exchanges import MOST_EXCHANGES
from labctl.resolver.questions import MOST_WAITING

CR, ONPREM, SECOND, PDNS = "10.20.30.5", "192.168.5.2", "192.168.5.3", "161.26.0.7"


def at(*addresses: str) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(each) for each in addresses)


def zone(name: str, hosts: dict[str, str], **options: Any) -> Zone:
    return Zone(name, tuple(Record(f"{host}.{name}", "A", address) for host, address in hosts.items()), **options)


RULES = (Forward("onprem.example.com", at(ONPREM, SECOND)), Forward("", at(PDNS)))
SITE = zone("onprem.example.com", {"w3": "192.168.4.10"})


@pytest.fixture
def world() -> World:
    """A resolver, two servers on premises, and the provider's."""
    made = World()
    made.serve(ONPREM, zones=(SITE,))
    made.serve(SECOND, zones=(SITE,))
    wide = zone("example.com", {"vpe": "10.20.30.9", "only.onprem": "203.0.113.9"})
    made.serve(PDNS, zones=(wide,))
    made.serve(CR, forwards=RULES)
    return made


def test_a_name_is_asked_of_the_servers_of_the_longest_zone_and_the_rest_of_the_default(world: World) -> None:
    reply = world.ask("w3.onprem.example.com", CR)
    assert (data(reply), reply.header.aa, reply.header.ra) == (["192.168.4.10"], 0, 1)
    assert data(world.ask("vpe.example.com", CR)) == ["10.20.30.9"]
    assert world.queries(ONPREM) == [f"{CR}>{ONPREM} w3.onprem.example.com. A ? udp"]
    assert world.queries(PDNS) == [f"{CR}>{PDNS} vpe.example.com. A ? udp"]


def test_the_longest_zone_decides_even_to_deny_what_a_shorter_one_has(world: World) -> None:
    assert rcode(world.ask("only.onprem.example.com", CR)) == "NXDOMAIN"
    assert data(world.ask("only.onprem.example.com", PDNS)) == ["203.0.113.9"]
    assert world.queries(PDNS) == [f"{STUB}>{PDNS} only.onprem.example.com. A ? udp"]


def test_a_zone_of_its_own_decides_before_a_forward_of_the_same_name(world: World) -> None:
    world.serve(CR, forwards=RULES, zones=(zone("onprem.example.com", {"w3": "10.0.0.1"}),))
    assert data(world.ask("w3.onprem.example.com", CR)) == ["10.0.0.1"]


def test_a_silent_server_costs_one_attempt_and_the_next_is_asked(world: World) -> None:
    world.dead.add(ONPREM)
    assert data(world.ask("w3.onprem.example.com", CR)) == ["192.168.4.10"]
    assert world.now == pytest.approx(0.3 + 2 * LATENCY)


@pytest.mark.parametrize("fault", ["closed", "servfail", "refused"])
def test_a_server_that_says_no_costs_no_time(world: World, fault: str) -> None:
    if fault == "closed":
        world.closed.add(ONPREM)
    elif fault == "servfail":
        world.mangle = lambda packet: _with_rcode(packet, 2) if packet.source == ONPREM else packet.message
    else:
        world.serve(ONPREM, zones=(), otherwise="refused")
    assert data(world.ask("w3.onprem.example.com", CR)) == ["192.168.4.10"]
    assert world.now < 0.1


def _with_rcode(packet: Packet, code: int) -> bytes:
    return packet.message[:3] + bytes([packet.message[3] & 0xF0 | code]) + packet.message[4:]


def test_an_answer_that_comes_while_the_next_server_is_asked_still_counts(world: World) -> None:
    world.dead |= {ONPREM, SECOND}
    number = world.send(bytes(DNSRecord.question("w3.onprem.example.com").pack()), CR)
    world.run(0.35)
    world.dead.clear()
    first, second = world.sent
    late = DNSRecord.parse(first.message)
    late.header.qr = 1
    late.add_answer(RR("w3.onprem.example.com", rdata=A("192.0.2.77"), ttl=9))
    world.hear(CR, first.exchange, Packet(world.now, ONPREM, CR, "udp", bytes(late.pack())))
    assert str(second.server) == SECOND
    assert data(DNSRecord.parse(world.replies[number][1])) == ["192.0.2.77"]


def test_nobody_answers_and_patience_ends_with_servfail(world: World) -> None:
    world.dead |= {ONPREM, SECOND}
    assert rcode(world.ask("w3.onprem.example.com", CR)) == "SERVFAIL"
    assert world.now == pytest.approx(1.5)
    world.dead.clear()
    assert data(world.ask("w3.onprem.example.com", CR)) == ["192.168.4.10"]


def test_nobody_listens_and_servfail_comes_at_once(world: World) -> None:
    world.closed |= {ONPREM, SECOND}
    assert rcode(world.ask("w3.onprem.example.com", CR)) == "SERVFAIL"
    assert world.now < 0.1


def test_a_lost_datagram_is_sent_again(world: World) -> None:
    world.serve(CR, forwards=(Forward("", at(PDNS)),))
    world.dead.add(PDNS)
    number = world.send(bytes(DNSRecord.question("vpe.example.com").pack()), CR)
    world.run(0.1)
    world.dead.clear()
    world.run(0.5)
    assert data(DNSRecord.parse(world.replies[number][1])) == ["10.20.30.9"]


def test_the_second_ask_needs_no_other_server_and_times_are_counted_down(world: World) -> None:
    assert world.ask("w3.onprem.example.com", CR).rr[0].ttl == 60
    world.run(12.5)
    assert world.ask("w3.onprem.example.com", CR).rr[0].ttl == 48
    assert world.ask("W3.onprem.EXAMPLE.com", CR).rr[0].ttl == 48
    for ttl in (47, 46, 45):
        world.run(1)
        assert world.ask("w3.onprem.example.com", CR).rr[0].ttl == ttl
    assert len(world.queries(ONPREM)) == 1
    world.run(45)
    assert world.ask("w3.onprem.example.com", CR).rr[0].ttl == 60
    assert len(world.queries(ONPREM)) == 2


def test_bounds_of_the_cache_shorten_what_servers_say(world: World) -> None:
    world.serve(CR, forwards=RULES, positive_s=5, negative_s=3)
    assert world.ask("w3.onprem.example.com", CR).rr[0].ttl == 5
    world.ask("none.onprem.example.com", CR)
    world.run(3.5)
    world.ask("w3.onprem.example.com", CR)
    world.ask("none.onprem.example.com", CR)
    assert [each.split()[1] for each in world.queries(ONPREM)] == [
        f"{host}.onprem.example.com." for host in ("w3", "none", "none")
    ]


def test_a_denial_is_remembered_as_long_as_its_soa_says_whatever_is_added_meanwhile(world: World) -> None:
    assert rcode(world.ask("new.onprem.example.com", CR)) == "NXDOMAIN"
    world.serve(ONPREM, zones=(zone("onprem.example.com", {"w3": "192.168.4.10", "new": "192.168.4.11"}),))
    world.run(30)
    reply = world.ask("new.onprem.example.com", CR)
    assert (rcode(reply), reply.auth[0].ttl) == ("NXDOMAIN", 30)
    assert rcode(world.ask("new.onprem.example.com", CR, "TXT")) == "NXDOMAIN"  # the name is denied, for every type
    assert data(world.ask("new.onprem.example.com", ONPREM)) == ["192.168.4.11"]
    world.run(31)
    assert data(world.ask("new.onprem.example.com", CR)) == ["192.168.4.11"]


def test_a_restart_forgets_what_was_denied(world: World) -> None:
    assert rcode(world.ask("new.onprem.example.com", CR)) == "NXDOMAIN"
    world.serve(ONPREM, zones=(zone("onprem.example.com", {"new": "192.168.4.11"}),))
    world.restart(CR, forwards=RULES)
    assert data(world.ask("new.onprem.example.com", CR)) == ["192.168.4.11"]


def test_a_denial_of_one_type_says_nothing_about_another(world: World) -> None:
    reply = world.ask("w3.onprem.example.com", CR, "TXT")
    assert (rcode(reply), data(reply), len(reply.auth)) == ("NOERROR", [], 1)
    assert data(world.ask("w3.onprem.example.com", CR)) == ["192.168.4.10"]
    world.ask("w3.onprem.example.com", CR, "TXT")
    assert len(world.queries(ONPREM)) == 2


def test_a_denial_without_soa_is_not_remembered(world: World) -> None:
    for _ in range(2):
        assert rcode(world.ask("www.elsewhere.test", CR)) == "NXDOMAIN"
    assert len(world.queries(PDNS)) == 2


def test_another_configuration_keeps_what_is_known_where_the_same_servers_are_asked(world: World) -> None:
    world.ask("w3.onprem.example.com", CR)
    world.ask("vpe.example.com", CR)
    world.serve(CR, forwards=(RULES[0], Forward("other.test", at(SECOND)), Forward("", at(SECOND))))
    world.ask("w3.onprem.example.com", CR)
    assert len(world.queries(ONPREM)) == 1
    assert rcode(world.ask("vpe.example.com", CR)) == "NXDOMAIN"
    assert len(world.queries(SECOND)) == 1


def test_a_question_under_way_ends_as_it_began_over_a_new_configuration(world: World) -> None:
    number = world.send(bytes(DNSRecord.question("w3.onprem.example.com").pack()), CR)
    world.serve(CR, forwards=(Forward("", at(PDNS)),))
    world.run(0.1)
    assert data(DNSRecord.parse(world.replies[number][1])) == ["192.168.4.10"]
    assert rcode(world.ask("w3.onprem.example.com", CR)) == "NXDOMAIN"


def test_one_query_is_sent_for_many_who_ask_the_same(world: World) -> None:
    query = bytes(DNSRecord.question("w3.onprem.example.com").pack())
    numbers = [world.send(bytes([n, n]) + query[2:], CR, f"10.1.0.{n}") for n in range(1, 101)]
    world.run(0.1)
    answers = [world.replies[number][1] for number in numbers]
    assert [answer[0] for answer in answers] == list(range(1, 101))
    assert len(world.queries(ONPREM)) == 1


def test_of_too_many_who_wait_for_one_answer_the_last_are_told_at_once(world: World) -> None:
    query = bytes(DNSRecord.question("w3.onprem.example.com").pack())
    numbers = [world.send(n.to_bytes(2, "big") + query[2:], CR) for n in range(MOST_WAITING + 10)]
    told = [number for number in numbers if number in world.replies]
    assert told == numbers[MOST_WAITING:]
    world.run(0.1)
    codes = [rcode(DNSRecord.parse(world.replies[number][1])) for number in numbers]
    assert codes == ["NOERROR"] * MOST_WAITING + ["SERVFAIL"] * 10


def test_a_loop_of_two_is_cut(world: World) -> None:
    world.serve(CR, forwards=(Forward("loop.test", at(ONPREM)),))
    world.serve(ONPREM, forwards=(Forward("loop.test", at(CR)),))
    assert rcode(world.ask("x.loop.test", CR)) == "SERVFAIL"
    assert world.now < 0.2
    world.run(5)
    assert len(world.packets) < 10


def test_a_loop_of_three_is_cut(world: World) -> None:
    for here, there in ((CR, ONPREM), (ONPREM, SECOND), (SECOND, CR)):
        world.serve(here, forwards=(Forward("loop.test", at(there)),))
    assert rcode(world.ask("x.loop.test", CR)) == "SERVFAIL"
    assert world.now <= 2
    world.run(5)
    assert len(world.packets) < 20


def test_a_loop_with_itself_is_cut(world: World) -> None:
    world.serve(CR, forwards=(Forward("loop.test", at(CR)),))
    assert rcode(world.ask("x.loop.test", CR)) == "SERVFAIL"
    assert len(world.packets) < 10


def test_a_truncated_answer_is_fetched_by_tcp_and_told_as_the_client_can_take_it(world: World) -> None:
    many = Zone("onprem.example.com", tuple(Record("many.onprem.example.com", "A", f"10.9.0.{n}") for n in range(200)))
    world.serve(ONPREM, zones=(many,))
    short = world.ask("many.onprem.example.com", CR)
    assert (short.header.tc, short.rr) == (1, [])
    assert [each.rpartition(" ")[2] for each in world.queries(ONPREM)] == ["udp", "tcp"]
    assert len(world.ask("many.onprem.example.com", CR, transport="tcp").rr) == 200
    assert len(world.queries(ONPREM)) == 2


def test_an_old_server_that_knows_no_options_is_asked_without(world: World) -> None:
    def old(packet: Packet) -> bytes:
        asked = [each for each in world.packets if each.target == ONPREM][-1]
        return _with_rcode(packet, 1)[:4] + bytes(8) if asked.message[11] else packet.message

    world.mangle = lambda packet: old(packet) if packet.source == ONPREM else packet.message
    reply = world.ask("w3.onprem.example.com", CR)
    assert data(reply) == ["192.168.4.10"]
    assert len(world.queries(ONPREM)) == 2
    assert world.now < 0.1


@pytest.mark.parametrize("wrong", ["question", "number"])
def test_an_answer_to_another_question_or_of_another_number_is_ignored(world: World, wrong: str) -> None:
    def forged(packet: Packet) -> bytes:
        other = DNSRecord.parse(packet.message)
        if wrong == "question":
            other.questions = [DNSQuestion("w4.onprem.example.com")]
        else:
            other.header.id ^= 1
        other.rr = [RR("w3.onprem.example.com", rdata=A("6.6.6.6"), ttl=9999)]
        return bytes(other.pack())

    world.mangle = lambda packet: forged(packet) if packet.source == ONPREM else packet.message
    assert data(world.ask("w3.onprem.example.com", CR)) == ["192.168.4.10"]
    assert world.now >= 0.3


def test_a_denial_holds_no_longer_than_the_soa_s_minimum_whatever_its_own_time_to_live(world: World) -> None:
    def patient(packet: Packet) -> bytes:
        read = DNSRecord.parse(packet.message)
        for soa in read.auth:
            soa.ttl = 9999
        return bytes(read.pack())

    world.mangle = patient
    assert world.ask("none.onprem.example.com", CR).auth[0].ttl == 60
    world.run(61)
    world.ask("none.onprem.example.com", CR)
    assert len(world.queries(ONPREM)) == 2


def test_what_an_answer_says_about_other_names_is_not_believed(world: World) -> None:
    def generous(packet: Packet) -> bytes:
        read = DNSRecord.parse(packet.message)
        read.add_answer(RR("vpe.example.com", rdata=A("6.6.6.6"), ttl=9999))
        read.add_auth(RR("example.com", 6, ttl=9, rdata=SOA("a", "b", (1, 1, 1, 1, 1))))
        return bytes(read.pack())

    world.mangle = lambda packet: generous(packet) if packet.source == ONPREM else packet.message
    reply = world.ask("w3.onprem.example.com", CR)
    assert (data(reply), reply.auth) == (["192.168.4.10"], [])
    assert data(world.ask("vpe.example.com", CR)) == ["10.20.30.9"]


def test_numbers_of_queries_are_drawn_anew(world: World) -> None:
    for name in ("a", "b", "c"):
        world.ask(f"{name}.onprem.example.com", CR)
    sent = [each.message[:2] for each in world.packets if each.target == ONPREM and each.source == CR]
    assert len(set(sent)) == 3


def test_an_alias_is_followed_from_a_zone_to_other_servers_and_between_them(world: World) -> None:
    here = Zone("cr.test", (Record("www.cr.test", "CNAME", "far.onprem.example.com"),))
    far = Zone("onprem.example.com", (Record("far.onprem.example.com", "CNAME", "vpe.example.com"),))
    world.serve(CR, zones=(here,), forwards=RULES)
    world.serve(ONPREM, zones=(far,), otherwise="refused")
    reply = world.ask("www.cr.test", CR)
    assert data(reply) == ["far.onprem.example.com.", "vpe.example.com.", "10.20.30.9"]
    assert reply.header.aa == 1


def test_aliases_that_lead_round_between_servers_end_in_servfail(world: World) -> None:
    for here, there, address in (("a.test", "b.test", ONPREM), ("b.test", "a.test", PDNS)):
        world.serve(address, zones=(Zone(here, (Record(f"x.{here}", "CNAME", f"x.{there}"),)),), otherwise="refused")
    world.serve(CR, forwards=(Forward("a.test", at(ONPREM)), Forward("b.test", at(PDNS))))
    assert rcode(world.ask("x.a.test", CR)) == "SERVFAIL"


def test_a_question_that_wants_no_recursion_is_answered_from_what_is_known_alone(world: World) -> None:
    query = DNSRecord(DNSHeader(id=5, rd=0), q=DNSQuestion("w3.onprem.example.com"))
    number = world.send(bytes(query.pack()), CR)
    assert rcode(DNSRecord.parse(world.replies[number][1])) == "REFUSED"
    world.ask("w3.onprem.example.com", CR)
    number = world.send(bytes(query.pack()), CR)
    assert data(DNSRecord.parse(world.replies[number][1])) == ["192.168.4.10"]


@pytest.mark.parametrize(("strangers", "answers"), [("refused", ["REFUSED"]), ("silence", [])])
def test_strangers_are_answered_as_configured_and_clients_always(
    world: World, strangers: str, answers: list[str]
) -> None:
    world.serve(CR, forwards=RULES, clients=(IPv4Network("10.20.30.0/24"),), strangers=strangers)
    number = world.send(bytes(DNSRecord.question("w3.onprem.example.com").pack()), CR, "172.16.0.9")
    world.run(3)
    assert [rcode(DNSRecord.parse(wire)) for at, wire in [world.replies.get(number, (0, b""))] if wire] == answers
    assert world.queries(ONPREM) == []
    assert data(world.ask("w3.onprem.example.com", CR, source="10.20.30.20")) == ["192.168.4.10"]


def test_a_flood_of_questions_that_nobody_answers_is_bounded_and_then_over(world: World) -> None:
    world.dead |= {ONPREM, SECOND}
    queries = [bytes(DNSRecord.question(f"n{n}.onprem.example.com").pack()) for n in range(2000)]
    numbers = [world.send(query, CR) for query in queries]
    exchanges = world.servers[CR].exchanges
    world.run(0.5)
    assert 300 < len(exchanges._owners) <= MOST_EXCHANGES
    world.run(3)
    assert all(rcode(DNSRecord.parse(world.replies[number][1])) == "SERVFAIL" for number in numbers)
    assert (exchanges._owners, exchanges.due(), world._open) == ({}, None, set())
    world.dead.clear()
    assert data(world.ask("w3.onprem.example.com", CR)) == ["192.168.4.10"]
