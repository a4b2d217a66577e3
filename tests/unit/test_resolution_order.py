"""In which order the records of a set are answered, and the types of records that zones may hold."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

import pytest
from dns_world import World, data, rcode
from dnslib import DNSRecord

from labctl.errors import DescriptionError
from labctl.model.services import Record, Resolver, Zone
from labctl.resolver.resolution import Resolution

PDNS = "161.26.0.7"
ZONES = {"z1": "10.240.0.", "z2": "10.240.64.", "z3": "10.240.128."}


def world(order: Literal["given", "near", "rotate"]) -> World:
    made = World()
    records = [Record("vpe.test", "A", f"{net}9", near=(IPv4Network(f"{net}0/24"),)) for net in ZONES.values()]
    made.serve(PDNS, zones=(Zone("vpe.test", tuple(records), order=order),))
    return made


def firsts(made: World, *sources: str) -> list[str]:
    answers = [data(made.ask("vpe.test", PDNS, source=source)) for source in sources]
    assert {tuple(sorted(each)) for each in answers} == {("10.240.0.9", "10.240.128.9", "10.240.64.9")}
    return [each[0].split(".")[2] for each in answers]


SOURCES = ("10.240.64.4", "10.240.0.4", "10.240.128.4", "172.16.0.1", "10.240.64.5")


def test_those_near_to_the_client_come_first_for_each_client() -> None:
    made = world("near")
    for _ in range(2):  # the second time from what was kept
        assert firsts(made, *SOURCES) == ["64", "0", "128", "0", "64"]


def test_records_come_in_the_order_given() -> None:
    assert firsts(world("given"), *SOURCES) == ["0"] * 5


def test_each_answer_begins_with_the_next_record() -> None:
    assert firsts(world("rotate"), *SOURCES) == ["0", "64", "128", "0", "64"]


TYPED = [
    ("AAAA", "2001:db8::9", "2001:db8::9"),
    ("MX", "10 mail.typed.test", "10 mail.typed.test."),
    ("NS", "ns1.typed.test", "ns1.typed.test."),
    ("PTR", "host.typed.test.", "host.typed.test."),
    ("SRV", "1 2 5060 sip.typed.test", "1 2 5060 sip.typed.test."),
]


@pytest.mark.parametrize(("rtype", "value", "told"), TYPED)
def test_records_of_every_type_are_told_as_they_are_written(rtype: Any, value: str, told: str) -> None:
    made = World()
    made.serve(PDNS, zones=(Zone("typed.test", (Record("x.typed.test", rtype, value),)),))
    assert data(made.ask("x.typed.test", PDNS, rtype)) == [told]


@pytest.mark.parametrize(
    ("rtype", "value"),
    [("AAAA", "192.0.2.1"), ("MX", "mail.typed.test"), ("MX", "70000 a"), ("SRV", "1 2 a"), ("NS", "a..b")],
)
def test_a_value_that_is_none_of_its_type_is_refused(rtype: Any, value: str) -> None:
    config = Resolver((), (Zone("typed.test", (Record("x.typed.test", rtype, value),)),))
    with pytest.raises(DescriptionError):
        Resolution(lambda: 0, 0).plan(config)


def test_an_answer_longer_than_pointers_reach_is_read_as_it_was_meant() -> None:
    made = World()
    names = [f"{host}.{n:04}{'x' * 50}.big.test" for n in range(300) for host in ("a", "b")]
    made.serve(PDNS, zones=(Zone("big.test", tuple(Record("big.test", "MX", f"1 {each}") for each in names)),))
    reply = made.ask("big.test", PDNS, "MX", transport="tcp")
    assert len(reply.pack()) > 20_000
    assert data(reply) == [f"1 {each}." for each in names]


def test_a_wildcard_stands_for_names_that_do_not_exist_and_no_others() -> None:
    made = World()
    records = (
        Record("*.wild.test", "A", "192.0.2.1"),
        Record("a.b.wild.test", "TXT", "here"),
    )
    made.serve(PDNS, zones=(Zone("wild.test", records),))
    reply = made.ask("any.THING.wild.test", PDNS)
    assert (data(reply), str(reply.rr[0].rname)) == (["192.0.2.1"], "any.THING.wild.test.")
    assert rcode(made.ask("b.wild.test", PDNS)) == "NOERROR"
    assert data(made.ask("b.wild.test", PDNS)) == []
    assert rcode(made.ask("c.b.wild.test", PDNS)) == "NXDOMAIN"


def test_who_may_copy_a_zone_sees_it_whoever_else_is_permitted() -> None:
    made = World()
    copier = IPv4Address("172.16.0.1")
    zone = Zone("vpe.test", (), permitted=(IPv4Network("10.0.0.0/8"),), transfer_to=(copier,))
    made.serve(PDNS, zones=(zone,), clients=(IPv4Network("10.0.0.0/8"),))
    assert len(made.ask("vpe.test", PDNS, "SOA", source=str(copier)).rr) == 1
    assert rcode(made.ask("vpe.test", PDNS, "SOA", source="172.16.0.2")) == "REFUSED"


def test_a_configuration_that_cannot_be_served_changes_nothing() -> None:
    made = world("given")
    with pytest.raises(DescriptionError):
        made.serve(PDNS, zones=(Zone("a..test", ()),))
    assert isinstance(made.ask("vpe.test", PDNS), DNSRecord)
    assert firsts(made, "10.240.0.4") == ["0"]
