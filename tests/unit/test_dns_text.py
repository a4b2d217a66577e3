"""What the data of a DNS record is in words, after a way over the wire."""

from __future__ import annotations

import pytest
from dnslib import AAAA, CNAME, MX, NS, PTR, QTYPE, RD, RR, SOA, TXT, A, DNSRecord

from labctl.probes.actions_dns import text_of


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (A("192.0.2.1"), "192.0.2.1"),
        (AAAA("2001:db8:0:0:0::1"), "2001:db8::1"),
        (CNAME("www.lab.test"), "www.lab.test"),
        (MX("mail.lab.test", 10), "10 mail.lab.test"),
        (NS("ns1.lab.test"), "ns1.lab.test"),
        (PTR("host.lab.test"), "host.lab.test"),
        (SOA("ns1.lab.test", "admin.lab.test", (1, 2, 3, 4, 5)), "ns1.lab.test admin.lab.test 1 2 3 4 5"),
        (TXT("v=spf1 -all"), "v=spf1 -all"),
        (TXT(["one ", 'tw"o']), 'one tw"o'),
        (TXT("größe"), "größe"),
        (TXT(b"\xff"), "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_record_is_told_as_a_person_would_write_it(data: RD, text: str) -> None:
    wire = DNSRecord(rr=[RR("q.test", getattr(QTYPE, type(data).__name__), rdata=data)]).pack()
    assert text_of(DNSRecord.parse(wire).rr[0].rdata) == text
