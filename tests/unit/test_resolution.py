"""The DNS server's answers, from bytes to bytes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from labctl.errors import DescriptionError
from labctl.model.services import Record, Resolver, Zone
from labctl.resolver.resolution import NoAnswer, Resolution
from labctl.resolver.visibility import CACHE_SIZE
from labctl.resolver.wire import PAYLOAD, Transport, read_message

INSIDE = IPv4Address("10.240.0.4")
OUTSIDE = IPv4Address("198.51.100.7")
VPC = IPv4Network("10.240.0.0/16")

ZONES = (
    Zone(
        "private.example.com",
        (
            Record("kms.private.example.com", "A", "10.240.0.9"),
            Record("a.b.private.example.com", "A", "10.240.0.10"),
            Record("alias.private.example.com", "CNAME", "kms.private.example.com"),
            Record("far.private.example.com", "CNAME", "www.example.com"),
            Record("away.private.example.com", "CNAME", "www.elsewhere.test"),
            Record("broken.private.example.com", "CNAME", "nothing.private.example.com"),
            Record("loop.private.example.com", "CNAME", "pool.private.example.com"),
            Record("pool.private.example.com", "CNAME", "loop.private.example.com"),
        ),
        (VPC,),
    ),
    Zone(
        "example.com",
        (
            Record("www.example.com", "A", "198.51.100.80", ttl=30),
            Record("www.example.com", "A", "198.51.100.81", ttl=30),
            Record("kms.private.example.com", "A", "198.51.100.99"),
            Record("only.private.example.com", "A", "198.51.100.98"),
            Record("text.example.com", "TXT", "x" * 300),
            *(Record("many.example.com", "A", f"192.0.2.{n}") for n in range(1, 61)),
            *(Record("flood.example.com", "A", f"10.9.{n // 250}.{n % 250}") for n in range(200)),
        ),
    ),
)


class Served:
    """A server that knows everything itself, at one instant."""

    def __init__(self, config: Resolver) -> None:
        self.resolution = Resolution(lambda: 0, 0)
        self.resolution.adopt(self.resolution.plan(config), 0.0)

    def answer(self, query: bytes, source: IPv4Address, transport: Transport) -> bytes | None:
        answer = self.resolution.ask(query, str(source), transport, "client", 0.0)
        assert answer is not NoAnswer.YET
        return answer if isinstance(answer, bytes) else None


def server(**changes: Any) -> Served:
    return Served(Resolver(**{"listen": (), "zones": ZONES, **changes}))


def ask(name: str, qtype: str = "A", source: IPv4Address = INSIDE, transport: Any = "udp", **changes: Any) -> DNSRecord:
    query = DNSRecord.question(name, qtype)
    if "edns" in changes:
        query.add_ar(EDNS0(**changes.pop("edns")))
    reply = server(**changes).answer(bytes(query.pack()), source, transport)
    assert reply is not None
    parsed = DNSRecord.parse(reply)
    assert (parsed.header.id, parsed.header.qr, parsed.header.rd) == (query.header.id, 1, 1)
    return parsed


def data(reply: DNSRecord) -> list[str]:
    return [str(rr.rdata) for rr in reply.rr]


def rcode(reply: DNSRecord) -> str:
    return str(RCODE.get(reply.header.rcode))


def test_a_record_is_answered_with_authority() -> None:
    reply = ask("kms.private.example.com")
    assert (data(reply), reply.header.aa, reply.header.ra) == (["10.240.0.9"], 1, 1)
    assert reply.rr[0].ttl == 60


def test_all_records_of_a_set_are_answered_in_order_with_their_ttl() -> None:
    reply = ask("www.example.com", source=OUTSIDE)
    assert data(reply) == ["198.51.100.80", "198.51.100.81"]
    assert {rr.ttl for rr in reply.rr} == {30}


def test_a_zone_that_does_not_permit_the_client_does_not_exist_for_it() -> None:
    assert data(ask("kms.private.example.com", source=OUTSIDE)) == ["198.51.100.99"]
    assert data(ask("kms.private.example.com", source=INSIDE)) == ["10.240.0.9"]


def test_the_most_specific_visible_zone_decides_even_to_deny() -> None:
    reply = ask("only.private.example.com")
    assert rcode(reply) == "NXDOMAIN"
    assert str(reply.auth[0].rname) == "private.example.com."
    assert data(ask("only.private.example.com", source=OUTSIDE)) == ["198.51.100.98"]


def test_of_two_zones_of_one_name_the_narrower_permission_wins() -> None:
    everyone = Zone("split.test", (Record("split.test", "A", "192.0.2.1"),))
    narrow = Zone("split.test", (Record("split.test", "A", "10.0.0.1"),), (VPC,))
    for zones in ((everyone, narrow), (narrow, everyone)):
        assert data(ask("split.test", zones=zones)) == ["10.0.0.1"]
        assert data(ask("split.test", zones=zones, source=OUTSIDE)) == ["192.0.2.1"]


def test_a_missing_name_is_nxdomain_with_the_zone_s_soa() -> None:
    reply = ask("nothing.private.example.com")
    assert (rcode(reply), data(reply), reply.header.aa) == ("NXDOMAIN", [], 1)
    assert [(str(rr.rname), rr.rtype) for rr in reply.auth] == [("private.example.com.", QTYPE.SOA)]


@pytest.mark.parametrize(
    ("name", "qtype"), [("kms.private.example.com", "AAAA"), ("b.private.example.com", "A"), ("example.com", "NS")]
)
def test_a_name_without_such_records_is_nodata_with_soa(name: str, qtype: str) -> None:
    reply = ask(name, qtype)
    assert (rcode(reply), data(reply), reply.header.aa) == ("NOERROR", [], 1)
    assert [rr.rtype for rr in reply.auth] == [QTYPE.SOA]


def test_the_soa_itself_can_be_asked_for() -> None:
    assert [rr.rtype for rr in ask("EXAMPLE.com", "SOA").rr] == [QTYPE.SOA]


@pytest.mark.parametrize(
    ("otherwise", "expected", "available"), [("nxdomain", "NXDOMAIN", 1), ("refused", "REFUSED", 0)]
)
def test_a_name_in_no_zone_is_answered_as_configured(otherwise: str, expected: str, available: int) -> None:
    reply = ask("www.elsewhere.test", otherwise=otherwise)
    assert (rcode(reply), reply.header.aa, reply.header.ra, reply.auth) == (expected, 0, available, [])


def test_cnames_are_followed_inside_the_visible_zones() -> None:
    assert data(ask("alias.private.example.com")) == ["kms.private.example.com.", "10.240.0.9"]
    assert data(ask("far.private.example.com")) == ["www.example.com.", "198.51.100.80", "198.51.100.81"]
    assert data(ask("alias.private.example.com", "CNAME")) == ["kms.private.example.com."]


def test_a_cname_out_of_all_zones_stands_alone() -> None:
    reply = ask("away.private.example.com")
    assert (rcode(reply), data(reply)) == ("NOERROR", ["www.elsewhere.test."])


def test_a_cname_to_a_missing_name_is_nxdomain_and_keeps_the_cname() -> None:
    reply = ask("broken.private.example.com")
    assert (rcode(reply), data(reply)) == ("NXDOMAIN", ["nothing.private.example.com."])
    assert reply.auth


def test_a_cname_to_a_name_without_such_records_is_nodata_and_keeps_the_cname() -> None:
    reply = ask("alias.private.example.com", "TXT")
    assert (rcode(reply), data(reply), len(reply.auth)) == ("NOERROR", ["kms.private.example.com."], 1)


def test_a_loop_of_cnames_is_servfail() -> None:
    assert rcode(ask("loop.private.example.com")) == "SERVFAIL"


def test_case_does_not_matter_and_comes_back_as_asked() -> None:
    reply = ask("KmS.pRiVaTe.example.COM")
    assert data(reply) == ["10.240.0.9"]
    assert str(reply.q.qname) == str(reply.rr[0].rname) == "KmS.pRiVaTe.example.COM."


def test_the_cache_keeps_case_views_and_transports_apart() -> None:
    resolution = server()

    def owner_and_data(name: str, source: IPv4Address, identity: int) -> tuple[int, str, str]:
        query = DNSRecord(DNSHeader(id=identity, bitmap=0), q=DNSQuestion(name))
        reply = DNSRecord.parse(resolution.answer(bytes(query.pack()), source, "udp"))
        return reply.header.id, str(reply.q.qname), data(reply)[0]

    for identity in range(3):  # the first fills the cache, the others are served from it
        assert owner_and_data("kms.private.example.com", INSIDE, identity)[::2] == (identity, "10.240.0.9")
        assert owner_and_data("kms.private.example.com", OUTSIDE, identity)[::2] == (identity, "198.51.100.99")
        assert owner_and_data("KMS.private.example.com", INSIDE, identity)[1] == "KMS.private.example.com."
    query = bytes(DNSRecord.question("flood.example.com").pack())
    ways: tuple[Transport, ...] = ("udp", "tcp", "udp", "tcp")
    lengths = [len(resolution.answer(query, INSIDE, way) or b"") for way in ways]
    assert lengths[0] == lengths[2] < 512 < lengths[1] == lengths[3]


def test_the_caches_are_bounded() -> None:
    resolution = server()
    for number in range(CACHE_SIZE + 10):
        query = bytes(DNSRecord(q=DNSQuestion(f"n{number}.example.com")).pack())
        resolution.answer(query, IPv4Address(number), "udp")
    visibility = resolution.resolution._visibility
    kept = [view.kept[way] for view in visibility._views.values() for way in ("udp", "tcp")]
    assert 0 < sum(map(len, kept)) <= CACHE_SIZE
    assert 0 < len(visibility.seen) <= CACHE_SIZE


def test_long_text_is_split_into_strings() -> None:
    assert [len(part) for part in ask("text.example.com", "TXT").rr[0].rdata.data] == [255, 45]


def test_edns_is_echoed_with_our_payload_size() -> None:
    reply = ask("www.example.com", edns={"udp_len": 4096, "flags": "do"})
    (opt,) = reply.ar
    assert (opt.rtype, opt.edns_len, opt.edns_ver, opt.edns_do) == (QTYPE.OPT, PAYLOAD, 0, 1)
    assert ask("www.example.com").ar == []


def test_an_unknown_edns_version_is_badvers() -> None:
    reply = ask("www.example.com", edns={"udp_len": 1232, "version": 1})
    assert reply.ar[0].edns_rcode << 4 | reply.header.rcode == 16
    assert (reply.ar[0].edns_ver, reply.rr, reply.header.aa) == (0, [], 0)


@pytest.mark.parametrize(
    ("name", "size", "cut"),
    [("many", None, True), ("many", 100, True), ("many", 1232, False), ("www", None, False), ("flood", 4096, True)],
)
def test_udp_answers_keep_to_the_client_s_size(name: str, size: int | None, cut: bool) -> None:
    changes: dict[str, Any] = {} if size is None else {"edns": {"udp_len": size}}
    reply = ask(f"{name}.example.com", **changes)
    assert (reply.header.tc, reply.rr == []) == (int(cut), cut)
    assert len(reply.pack()) <= min(max(size or 0, 512), PAYLOAD)
    assert len(reply.ar) == (size is not None)


def test_tcp_answers_are_whole() -> None:
    reply = ask("flood.example.com", transport="tcp")
    assert (reply.header.tc, len(reply.rr)) == (0, 200)


def test_any_gets_one_set() -> None:
    assert data(ask("www.example.com", "ANY")) == ["198.51.100.80", "198.51.100.81"]
    assert data(ask("alias.private.example.com", "ANY")) == ["kms.private.example.com."]
    assert rcode(ask("nothing.example.com", "ANY")) == "NXDOMAIN"


@pytest.mark.parametrize("qclass", [3, 255, 7])
def test_other_classes_are_refused(qclass: int) -> None:
    query = DNSRecord(q=DNSQuestion("www.example.com", qclass=qclass))
    assert rcode(DNSRecord.parse(server().answer(bytes(query.pack()), INSIDE, "udp"))) == "REFUSED"


def test_zone_transfer_is_refused() -> None:
    assert rcode(ask("example.com", "AXFR", transport="tcp")) == "REFUSED"


@pytest.mark.parametrize("opcode", [1, 2, 3, 5, 15])
def test_other_opcodes_are_not_implemented(opcode: int) -> None:
    query = DNSRecord(DNSHeader(id=77, opcode=opcode), q=DNSQuestion("www.example.com"))
    reply = server().answer(bytes(query.pack()), INSIDE, "udp")
    assert reply is not None
    assert (reply[:2], reply[2] >> 7, (reply[2] >> 3) & 15, reply[3] & 15) == (b"\0\x4d", 1, opcode, 4)


def test_answers_are_never_answered() -> None:
    reply = bytes(ask("www.example.com").pack())
    assert server().answer(reply, INSIDE, "udp") is None
    assert server().answer(reply[:3], INSIDE, "udp") is None


@pytest.mark.parametrize("query", [b"", b"\x12"])
def test_bytes_without_an_id_meet_silence(query: bytes) -> None:
    assert server().answer(query, INSIDE, "udp") is None


HEAD = bytes.fromhex("123401000001000000000000")
POINTERS = b"".join(b"\xc0" + bytes([n]) for n in range(12, 200, 2))


@pytest.mark.parametrize(
    "query",
    [
        b"\x12\x34",
        HEAD,
        HEAD + b"\x03www",
        HEAD + b"\xc0\x0c\0\1\0\1",
        HEAD + b"\xc0\x06\0\1\0\1",
        HEAD + b"\x40" + b"x" * 64 + b"\0\0\1\0\1",
        HEAD + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1",
        HEAD[:4] + b"\0\2" + HEAD[6:] + b"\0\0\1\0\1" * 2,
        HEAD[:4] + b"\0\0" + HEAD[6:],
        HEAD[:11] + b"\1" + b"\0\0\1\0\1" + b"\0\0\x29\xff\xff\0\0\0\0\0\x09",
        HEAD[:11] + b"\2" + b"\0\0\1\0\1" + b"\0\0\x29\4\0\0\0\0\0\0\0" * 2,
        HEAD[:11] + b"\1" + b"\0\0\1\0\1" + b"\1a\0\0\x29\4\0\0\0\0\0\0\0",
        HEAD[:11] + b"\1" + b"\0\0\1\0\1" + POINTERS,
    ],
)
def test_what_cannot_be_read_is_formerr_with_its_id(query: bytes) -> None:
    reply = server().answer(query, INSIDE, "udp")
    assert reply is not None
    assert (reply[:2], reply[2] & 0x80, reply[3] & 15) == (b"\x12\x34", 0x80, 1)


def test_a_very_long_chain_of_pointers_is_formerr() -> None:
    first = len(HEAD) + 5 + 11  # the question and the head of the first record stand before the chain
    chain = b"\1a\0" + b"".join(
        (0xC000 + first + (0 if number == 0 else 2 * number + 1)).to_bytes(2, "big") for number in range(5000)
    )
    record = b"\0\0\1\0\1\0\0\0\0" + len(chain).to_bytes(2, "big") + chain
    last = (0xC000 + first + len(chain) - 2).to_bytes(2, "big") + b"\0\1\0\1\0\0\0\0\0\0"
    query = HEAD[:6] + b"\0\2" + HEAD[8:] + b"\0\0\1\0\1" + record + last
    reply = server().answer(query, INSIDE, "tcp")
    assert reply is not None
    assert reply[3] & 15 == 1


def is_sound(query: bytes, reply: bytes | None) -> bool:
    """Silence only where due; else an answer that can be read, with the id of the query.

    dnslib itself reads only names that are UTF-8.
    """
    if reply is None:
        return len(query) < 2 or (len(query) > 2 and query[2] & 0x80 != 0)
    if len(reply) > 12:
        read_message(reply)
    return reply[:2] == query[:2] and reply[2] & 0x80 != 0 and len(reply) <= PAYLOAD


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_have_a_sound_outcome(query: bytes) -> None:
    assert is_sound(query, RESOLUTION.answer(query, INSIDE, "udp"))


@settings(derandomize=True, max_examples=1500, deadline=None)
@given(st.data())
def test_mutated_queries_have_a_sound_outcome(draw: st.DataObject) -> None:
    names = ["www.example.com", "many.example.com", "loop.private.example.com", "a.b.private.example.com", ""]
    query = DNSRecord.question(
        draw.draw(st.sampled_from(names)), draw.draw(st.sampled_from(["A", "ANY", "TXT", "SOA"]))
    )
    query.add_ar(EDNS0(udp_len=draw.draw(st.integers(0, 65535)), version=draw.draw(st.integers(0, 1))))
    wire = bytearray(query.pack())
    for _ in range(draw.draw(st.integers(0, 4))):
        wire[draw.draw(st.integers(0, len(wire) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(wire[: draw.draw(st.integers(0, len(wire)))]) if draw.draw(st.booleans()) else bytes(wire)
    assert is_sound(cut, RESOLUTION.answer(cut, INSIDE, "udp"))


RESOLUTION = server()


@pytest.mark.parametrize(
    "zone",
    [
        Zone("a.test", (Record("b.test", "A", "192.0.2.1"),)),
        Zone("a.test", (Record("x.a.test", "A", "not an address"),)),
        Zone("a.test", (Record(f"{'x' * 64}.a.test", "A", "192.0.2.1"),)),
        Zone("a.test", (Record("x.a.test", "CNAME", "y" * 70),)),
        Zone("a..test", ()),
    ],
)
def test_a_record_that_cannot_be_served_is_refused_at_the_start(zone: Zone) -> None:
    with pytest.raises(DescriptionError):
        server(zones=(zone,))
