"""Questions to a DNS server, and what its answers say in words."""

from __future__ import annotations

import os
import random
import struct
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from dnslib import AAAA, CLASS, MX, QTYPE, RCODE, SOA, TXT, DNSHeader, DNSQuestion, DNSRecord
from dnslib.dns import DNSError

from labctl.probes.actions_transport import connect, exchange, read_until
from labctl.probes.attempt import Attempt
from labctl.probes.wire import Dns, Outcome, Reply

_DNS_PORT = 53
_RCODES: dict[int, Outcome] = {RCODE.NXDOMAIN: "nxdomain", RCODE.REFUSED: "refused"}


def dns(attempt: Attempt, action: Dns) -> Reply:
    """Ask, by UDP again every second; by TCP where that is wanted or the answer was truncated (RFC 7766 section 5)."""
    question = DNSQuestion(action.name, getattr(QTYPE, action.type), CLASS.IN)
    header = DNSHeader(id=random.randrange(65536), rd=1)
    query = DNSRecord(header, questions=[question])
    if action.transport == "tcp" or action.type == "AXFR":  # RFC 5936 section 4.2
        return _by_tcp(attempt, action, query)
    cut, nonsense = [], []

    def judge(data: bytes) -> Reply | None:
        answer = _parsed(data, query)
        if answer is None:
            nonsense.append(len(data))
            return None
        if answer.header.tc:
            cut.append(True)
        return _answered(attempt, answer, query)

    reply = exchange(attempt, (action.server, _DNS_PORT), query.pack(), judge, again=True)
    if reply.outcome == "filtered" and nonsense:
        return replace(reply, outcome="corrupt", reason="what came back does not answer the question")
    return _by_tcp(attempt, action, query) if cut else reply


def sign_of_life(attempt: Attempt, server: IPv4Address) -> Outcome:
    """What becomes of a question to `server`, "ok" for an answer of any kind; it is asked again every second."""
    query = DNSRecord(
        DNSHeader(id=random.randrange(65536), rd=1), questions=[DNSQuestion("localhost", QTYPE.A, CLASS.IN)]
    )

    def judge(data: bytes) -> Reply | None:
        return attempt.reply("ok", "an answer") if _parsed(data, query) else None

    return exchange(attempt, (server, _DNS_PORT), query.pack(), judge, again=True).outcome


def _by_tcp(attempt: Attempt, action: Dns, query: Any) -> Reply:
    connected = connect(attempt, action.server, _DNS_PORT)
    if isinstance(connected, Reply):
        return connected
    packed, buffer = query.pack(), bytearray()
    with closing(connected) as sock:
        try:
            sock.sendall(struct.pack("!H", len(packed)) + packed)
            read_until(attempt, sock, buffer, lambda: len(buffer) >= 2 + int.from_bytes(buffer[:2].ljust(2, b"\xff")))
        except TimeoutError:
            return attempt.reply("corrupt", "connected, but no answer in time")
        except OSError as error:
            return attempt.reply("corrupt", f"connected, then {os.strerror(error.errno or 0)}")
    answer = _parsed(bytes(buffer[2:]), query)
    return attempt.reply("corrupt", "no DNS answer") if answer is None else _answered(attempt, answer, query)


def _parsed(data: bytes, query: Any) -> Any:
    """The DNS message, None where it is none or answers something else."""
    try:
        answer = DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError, UnicodeDecodeError):
        return None
    ours = answer.header.id == query.header.id and answer.header.qr and answer.questions == query.questions
    return answer if ours else None


def _answered(attempt: Attempt, answer: Any, query: Any) -> Reply:
    authoritative = bool(answer.header.aa)
    names = _names_of(answer, query.q.qname)
    whole = query.q.qtype == QTYPE.AXFR  # then the answer is about every name of the zone (RFC 5936 section 2.2)
    records = [each for each in answer.rr if whole or query.q.qtype in (each.rtype, QTYPE.ANY)]
    wanted = [text_of(each.rdata) for each in records if whole or each.rname in names]
    code = answer.header.rcode
    if code == RCODE.NOERROR and records and not wanted:
        return attempt.reply("corrupt", f"the answer is about {records[0].rname}", authoritative=authoritative)
    if code == RCODE.NOERROR:
        outcome: Outcome = "ok" if wanted else "nodata"
        ttl_s = max((each.ttl for each in answer.rr if each.rname in names), default=-1)
        return attempt.reply(outcome, "NOERROR", answers=tuple(wanted), authoritative=authoritative, ttl_s=ttl_s)
    outcome = _RCODES.get(code, "servfail")
    return attempt.reply(outcome, str(RCODE.get(code)), authoritative=authoritative)


def _names_of(answer: Any, name: Any) -> list[Any]:
    """`name` and what it is an alias of, one after the other (RFC 1034 section 3.6.2): what an answer may be about."""
    aliases = {each.rname: each.rdata.label for each in answer.rr if each.rtype == QTYPE.CNAME}
    names = [name]
    while (target := aliases.get(names[-1])) is not None and target not in names:
        names.append(target)
    return names


def text_of(data: Any) -> str:
    """A record's data as a master file has it (RFC 1035 section 5.1), but for the names' last dots and for quotes.

    `10 mail.example` for MX; the strings of a TXT record in one; an IPv6 address as RFC 5952 writes it.
    """
    match data:
        case MX():
            return f"{data.preference} {_name(data.label)}"
        case SOA():
            return " ".join([_name(data.mname), _name(data.rname), *map(str, data.times)])
        case TXT():
            return b"".join(bytes(piece) for piece in data.data).decode(errors="replace")
        case AAAA():
            return str(IPv6Address(bytes(data.data)))
        case _:
            return str(data).rstrip(".")


def _name(label: Any) -> str:
    return str(label).rstrip(".")
