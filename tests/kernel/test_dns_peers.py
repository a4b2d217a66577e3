"""labctl's answers beside those of named and of unbound, run here in a namespace, for one zone and the same questions.

Every difference is one of those that the tables explain, and every explanation is needed.
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from dnslib import CLASS, EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from kernel_lab import Lab

from labctl.kernel.netns import enter
from labctl.model.services import Forward, Record, Resolver, Zone
from labctl.resolver.resolution import Resolution
from labctl.resolver.zonedata import NEGATIVE_TTL, TIMES

ZONE = "peer.test"
ADDRESS = "10.0.0.2"
QUESTIONS = 500
RECORDS = (
    Record(ZONE, "NS", f"ns.{ZONE}"),
    Record(f"ns.{ZONE}", "A", ADDRESS),
    Record(f"www.{ZONE}", "A", "192.0.2.1", ttl=30),
    Record(f"www.{ZONE}", "A", "192.0.2.2", ttl=30),
    Record(f"www.{ZONE}", "AAAA", "2001:db8::1"),
    Record(f"a.b.c.{ZONE}", "A", "192.0.2.3"),
    Record(f"alias.{ZONE}", "CNAME", f"www.{ZONE}"),
    Record(f"second.{ZONE}", "CNAME", f"alias.{ZONE}"),
    Record(f"away.{ZONE}", "CNAME", "www.elsewhere.test"),
    Record(f"broken.{ZONE}", "CNAME", f"nothing.{ZONE}"),
    Record(f"ping.{ZONE}", "CNAME", f"pong.{ZONE}"),
    Record(f"pong.{ZONE}", "CNAME", f"ping.{ZONE}"),
    Record(ZONE, "MX", f"10 www.{ZONE}"),
    Record(f"_sip._udp.{ZONE}", "SRV", f"1 2 5060 www.{ZONE}"),
    Record(f"text.{ZONE}", "TXT", "x" * 200),
    Record(f"ptr.{ZONE}", "PTR", f"www.{ZONE}"),
    Record(f"*.wild.{ZONE}", "A", "192.0.2.4"),
    Record(f"own.wild.{ZONE}", "TXT", "here"),
    *(Record(f"some.{ZONE}", "A", f"192.0.2.{n}") for n in range(1, 61)),
    *(Record(f"many.{ZONE}", "A", f"10.9.0.{n}") for n in range(1, 91)),
)
NAMES = (
    *(ZONE, "PEER.test", f"nothing.{ZONE}", f"x.nothing.{ZONE}", f"b.c.{ZONE}", f"c.{ZONE}", f"x.wild.{ZONE}"),
    *(f"x.y.wild.{ZONE}", f"wild.{ZONE}", f"x.own.wild.{ZONE}", f"x.www.{ZONE}", "www.elsewhere.test", "test", ""),
    *sorted({each.name for each in RECORDS}),
)
TYPES = ("A", "A", "A", "AAAA", "TXT", "MX", "SOA", "NS", "CNAME", "SRV", "PTR", "ANY", "DS", "TYPE65280")


@dataclass(frozen=True)
class Question:
    """What is asked, and how."""

    name: str
    qtype: str
    opcode: int
    qclass: int
    version: int | None
    payload: int
    recursion: bool

    def wire(self, identity: int) -> bytes:
        number = int(self.qtype[4:]) if self.qtype.startswith("TYPE") else getattr(QTYPE, self.qtype)
        header = DNSHeader(id=identity, opcode=self.opcode, rd=int(self.recursion))
        query = DNSRecord(header, q=DNSQuestion(self.name, number, self.qclass))
        if self.version is not None:
            query.add_ar(EDNS0(udp_len=self.payload, version=self.version))
        return bytes(query.pack())


@dataclass(frozen=True)
class Said:
    """What of an answer is compared: all but the order of records, and additional ones other than OPT."""

    rcode: str
    flags: str
    answers: tuple[str, ...]
    authority: tuple[str, ...]
    options: str


def said(wire: bytes) -> Said:
    reply = DNSRecord.parse(wire)
    head = reply.header
    options = [each for each in reply.ar if each.rtype == QTYPE.OPT]
    rcode = head.rcode | (options[0].edns_rcode << 4 if options else 0)
    flags = " ".join(word for word in ("aa", "tc", "rd", "ra") if getattr(head, word))
    answers, authority = (
        tuple(sorted(f"{each.rname} {each.ttl} {each.rtype} {each.rdata}".lower() for each in section))
        for section in (reply.rr, reply.auth)
    )
    version = f"version {options[0].edns_ver}" if options else ""
    return Said(str(RCODE.get(rcode, rcode)), flags, answers, authority, version)


def questions() -> list[Question]:
    chance = random.Random(11)
    found = []
    for _ in range(QUESTIONS):
        opcode = chance.choice((0,) * 20 + (1, 2, 15))
        version = chance.choice((None, None, 0, 0, 0, 1))
        payload = chance.choice((100, 512, 900, 1232, 4096))
        qclass = CLASS.IN if chance.random() < 0.97 else 7
        name, qtype = chance.choice(NAMES), chance.choice(TYPES)
        found.append(Question(name, qtype, opcode, qclass, version, payload, chance.random() < 0.7))
    return found


def own(wires: list[bytes], forwards: tuple[Forward, ...]) -> list[Said]:
    resolution = Resolution(lambda: 0, 0)
    config = Resolver((), (Zone(ZONE, RECORDS),), otherwise="refused", forwards=forwards)
    resolution.adopt(resolution.plan(config), 0.0)
    answers = [resolution.ask(wire, "10.0.0.1", "udp", "client", 0.0) for wire in wires]
    return [said(each) for each in answers if isinstance(each, bytes)]


# -- the others


def zone_file(place: Path) -> Path:
    soa = f"@ {NEGATIVE_TTL} SOA ns hostmaster 1 {' '.join(map(str, TIMES))} {NEGATIVE_TTL}"
    lines = [f"$ORIGIN {ZONE}.", soa]
    for each in RECORDS:
        value = f'"{each.value}"' if each.type == "TXT" else each.value
        dot = "." if each.type in ("CNAME", "NS", "PTR", "MX", "SRV") else ""
        lines.append(f"{each.name}. {each.ttl} {each.type} {value}{dot}")
    (place / "zone").write_text("\n".join(lines) + "\n")
    return place / "zone"


def named(place: Path) -> list[str]:
    (place / "conf").write_text(
        f'options {{ directory "{place}"; listen-on {{ {ADDRESS}; }}; listen-on-v6 {{ none; }}; pid-file none;'
        " recursion no; minimal-responses yes; dnssec-validation no; notify no; }; controls { };"
        f' zone "{ZONE}" {{ type primary; file "{zone_file(place)}"; check-integrity no; }};\n'
    )
    return ["named", "-g", "-n", "1", "-c", str(place / "conf")]


def unbound(place: Path) -> list[str]:
    (place / "conf").write_text(
        f'server:\n num-threads: 1\n interface: {ADDRESS}\n access-control: 10.0.0.0/24 allow\n chroot: ""\n'
        ' username: ""\n pidfile: ""\n use-syslog: no\n do-daemonize: no\n minimal-responses: yes\n'
        ' module-config: "iterator"\n local-zone: "test." nodefault\n local-zone: "." refuse\n'
        f' local-zone: "{ZONE}." transparent\n'
        f'auth-zone:\n name: "{ZONE}."\n zonefile: "{zone_file(place)}"\n for-downstream: yes\n for-upstream: no\n'
    )
    return ["unbound", "-d", "-c", str(place / "conf")]


@contextmanager
def serving(lab: Lab, command: list[str], log: Path) -> Iterator[socket.socket]:
    """A connected socket of the node on the left; the program answers on the right."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not here: its answers are not compared")
    with enter(lab.paths.namespace("right")), log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told)
    try:
        with enter(lab.paths.namespace("left")):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            client.settimeout(0.2)
            client.connect((ADDRESS, 53))
            _await(client, process, log)
            client.settimeout(5)
            yield client
    finally:
        process.terminate()
        process.wait()


def _await(client: socket.socket, process: subprocess.Popen[bytes], log: Path) -> None:
    query = Question(f"www.{ZONE}", "A", 0, 1, None, 0, False).wire(65535)
    deadline = time.monotonic() + 15
    while True:
        try:
            client.send(query)
            if DNSRecord.parse(client.recv(4096)).rr:
                return
        except OSError:
            time.sleep(0.02)
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()


Explained = dict[str, Callable[[Question, Said, Said], Said]]
"""Why an answer differs, and theirs, given the question and ours, as it would be without this difference."""


def compared(client: socket.socket, explained: Explained, forwards: tuple[Forward, ...]) -> tuple[list[str], set[str]]:
    """The differences that nothing explains, and the explanations that were needed."""
    asked = questions()
    wires = [each.wire(number) for number, each in enumerate(asked)]
    unexplained, used = [], set()
    for question, wire, ours in zip(asked, wires, own(wires, forwards), strict=True):
        theirs = first = said(exchanged(client, wire))
        for why, without in explained.items():
            changed = without(question, ours, theirs)
            if ours != theirs != changed:
                used.add(why)
                theirs = changed
        if ours != theirs:
            unexplained.append(f"{question}\n  ours   {ours}\n  theirs {first}")
    return unexplained, used


def exchanged(client: socket.socket, wire: bytes) -> bytes:
    """The answer to this question, not one that comes late to another."""
    client.send(wire)
    while (answer := client.recv(65535))[:2] != wire[:2]:
        pass
    return answer


def if_any(question: Question, ours: Said, theirs: Said) -> Said:
    is_part = question.qtype == "ANY" and ours.answers and set(ours.answers) < set(theirs.answers)
    return replace(theirs, answers=ours.answers) if is_part else theirs


def if_round(question: Question, ours: Said, theirs: Said) -> Said:
    loop = {f"ping.{ZONE}. 60 5 pong.{ZONE}.", f"pong.{ZONE}. 60 5 ping.{ZONE}."}
    return ours if ours.rcode == "SERVFAIL" and set(theirs.answers) == loop else theirs


def if_cut(question: Question, ours: Said, theirs: Said) -> Said:
    return replace(theirs, answers=()) if "tc" in ours.flags and "tc" in theirs.flags else theirs


def if_class(question: Question, ours: Said, theirs: Said) -> Said:
    return replace(theirs, rcode="REFUSED") if question.qclass == 7 and theirs.rcode == "NOTIMP" else theirs


def if_soa(question: Question, ours: Said, theirs: Said) -> Said:
    zero = tuple(each.replace(f"{ZONE}. 0 6", f"{ZONE}. {NEGATIVE_TTL} 6") for each in theirs.authority)
    return replace(theirs, authority=zero) if question.qtype == "SOA" else theirs


def if_opcode(question: Question, ours: Said, theirs: Said) -> Said:
    return replace(theirs, flags=ours.flags) if question.opcode else theirs


def if_version(question: Question, ours: Said, theirs: Said) -> Said:
    return ours if question.opcode and question.version and theirs.rcode == "NOTIMP" else theirs


def if_not_recursive(question: Question, ours: Said, theirs: Said) -> Said:
    return replace(theirs, flags=f"{theirs.flags} ra".strip()) if not question.recursion else theirs


def if_refused(question: Question, ours: Said, theirs: Said) -> Said:
    return replace(theirs, flags=ours.flags) if theirs.rcode == ours.rcode == "REFUSED" else theirs


def if_parent(question: Question, ours: Said, theirs: Said) -> Said:
    return ours if (question.name.lower(), question.qtype, theirs.rcode) == (ZONE, "DS", "REFUSED") else theirs


def if_alias_denied(question: Question, ours: Said, theirs: Said) -> Said:
    denied = ours.answers and ours.authority and theirs.rcode == "NOERROR" and not theirs.authority
    return replace(theirs, rcode=ours.rcode, authority=ours.authority) if denied else theirs


WHOLE_ANY = "they tell every set of a name that is asked for ANY; one is enough (RFC 8482 section 4.1)"
ROUND = "they tell aliases that lead round; SERVFAIL keeps a client from trying (RFC 1034 section 5.2.2)"
CODES = "they keep or drop flags of an answer to another opcode as they like; RD comes back (RFC 1035 section 4.1.1)"
NAMED: Explained = {
    WHOLE_ANY: if_any,
    ROUND: if_round,
    "named fills a truncated answer; what is in it is of no use (RFC 2181 section 9)": if_cut,
    "named does not implement a class that it does not know; it is refused here as any but IN": if_class,
    "named lets nobody remember that there is no SOA record (zero-no-soa-ttl)": if_soa,
    CODES: if_opcode,
}
UNBOUND: Explained = {
    WHOLE_ANY: if_any,
    ROUND: if_round,
    CODES: if_opcode,
    "unbound offers recursion only to who desires it; RA says what is available (RFC 1035 4.1.1)": if_not_recursive,
    "unbound refuses with authority": if_refused,
    "unbound has the DS records of a zone's apex in its parent's zone, which it refuses": if_parent,
    "unbound's zones do not say where an alias leads if it leads nowhere (RFC 2308 section 2 does)": if_alias_denied,
    "unbound looks at the opcode before the version (RFC 6891 section 6.1.3 leaves the order open)": if_version,
}


@pytest.mark.parametrize(("server", "explained", "recursive"), [(named, NAMED, False), (unbound, UNBOUND, True)])
def test_answers_are_those_of(
    pair: Lab, tmp_path: Path, server: Callable[[Path], list[str]], explained: Explained, recursive: bool
) -> None:
    forwards = (Forward("forwarded.test", (IPv4Address("10.0.0.9"),)),) if recursive else ()
    with serving(pair, server(tmp_path), tmp_path / "log") as client:
        unexplained, used = compared(client, explained, forwards)
    assert not unexplained, "\n".join(unexplained)
    assert used == explained.keys()
