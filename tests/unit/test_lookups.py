"""What the ordinary programs print, and what is made of it."""

from __future__ import annotations

import pytest

from labctl.probes.lookups import By, Finding, command, finding

GETENT = "10.240.0.9      STREAM kms.example.com\n10.240.0.9      DGRAM\n10.240.64.9     STREAM\n10.240.64.9     RAW\n"
DIG = """\
; <<>> DiG 9.18.28 <<>> -r kms.example.com A
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: %s, id: 4711
;; QUESTION SECTION:
;kms.example.com.\t\tIN\tA

;; ANSWER SECTION:
%s
;; SERVER: 10.20.30.5#53(10.20.30.5) (UDP)
"""
RECORDS = "kms.example.com.\t60\tIN\tA\t10.240.0.9\nkms.example.com.\t20\tIN\tA\t10.240.64.9\n"
CURL = (
    "* Uses proxy env variable no_proxy == '*'\n*   Trying 10.240.0.9:80...\n* connect to 10.240.0.9 port 80 failed\n"
)
BOTH = ("10.240.0.9", "10.240.64.9")


@pytest.mark.parametrize(
    ("by", "status", "printed", "complained", "found"),
    [
        ("getent", 0, GETENT, "", Finding("ok", BOTH)),
        ("getent", 2, "", "", Finding("nothing")),
        ("getent", 0, "", "", Finding("broken")),
        ("getent", 1, GETENT, "Unknown database", Finding("broken")),
        ("dig", 0, DIG % ("NOERROR", RECORDS), "", Finding("ok", BOTH, 60)),
        ("dig", 0, DIG % ("NOERROR", ""), "", Finding("nodata")),
        ("dig", 0, DIG % ("NXDOMAIN", ""), "", Finding("nxdomain")),
        ("dig", 0, DIG % ("REFUSED", ""), "", Finding("refused")),
        ("dig", 0, DIG % ("SERVFAIL", ""), "", Finding("servfail")),
        ("dig", 9, ";; no servers could be reached\n", "", Finding("silence")),
        ("dig", 1, "", "dig: couldn't create socket", Finding("broken")),
        ("curl", 7, "0.004", CURL, Finding("ok", ("10.240.0.9",), took_ms=4.0)),
        ("curl", 28, "0.000", "* Resolving timed out after 1800 milliseconds\n", Finding("silence")),
        ("curl", 6, "0.000", "* Could not resolve host: nobody.example.com\n", Finding("nothing", took_ms=0.0)),
        ("curl", 2, "", "curl: option -q: is unknown\n", Finding("broken")),
    ],
)
def test_a_program_says_what_it_found_or_that_it_failed(
    by: By, status: int, printed: str, complained: str, found: Finding
) -> None:
    assert finding(by, status, printed, complained) == found


@pytest.mark.parametrize("by", ["getent", "dig", "curl"])
def test_a_program_is_given_the_name_alone_and_no_file_of_its_own(by: By) -> None:
    words = command(by, "kms.example.com", 2.0)
    assert words[0] == by
    assert sum("kms.example.com" in word for word in words) == 1
    assert by == "getent" or words[1] in ("-r", "-q")
