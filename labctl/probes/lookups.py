"""The ordinary programs that look a name up: how each is called, and what its output says. Pure.

Only dig tells why there is no address; of the others the same servers are asked for the reason afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

By = Literal["getent", "dig", "curl"]

PACKAGES: dict[By, str] = {"getent": "libc-bin", "dig": "bind9-dnsutils", "curl": "curl"}
"""The Debian and Ubuntu package of each."""

_NOT_FOUND = 2  # getent(1)
_UNRESOLVED, _TIMED_OUT = 6, 28  # curl(1)
_NO_REPLY = 9  # dig(1)
_MOST = 0.9  # of the time, for curl to connect as well: it tells what it found when it has done with that
_TRIED = re.compile(r"^\*\s+Trying (\d+\.\d+\.\d+\.\d+):\d+\.\.\.$", re.MULTILINE)
_STATUS = re.compile(r"^;; ->>HEADER<<- .*status: (\w+),", re.MULTILINE)
_RECORD = re.compile(r"^\S+\s+(\d+)\s+IN\s+A\s+(\S+)$", re.MULTILINE)
_SECONDS = re.compile(r"\d+\.\d+$")
_ADDRESS = re.compile(r"^(\d+\.\d+\.\d+\.\d+)\s+STREAM\b", re.MULTILINE)

Told = Literal["ok", "nxdomain", "nodata", "servfail", "refused", "nothing", "silence", "broken"]
"""What a program says: "nothing": no address, for whatever reason; "broken": it failed in another way."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a program's end says. `ttl_s` is the longest time-to-live among the answers, -1 where it tells none;
    `took_ms` how long the lookup alone took, None where it tells nothing of it.
    """

    told: Told
    answers: tuple[str, ...] = ()
    ttl_s: int = -1
    took_ms: float | None = None


def command(by: By, name: str, seconds: float) -> tuple[str, ...]:
    """The program and its arguments, none of its own configuration files read; it may take so many seconds."""
    match by:
        case "getent":
            return ("getent", "ahostsv4", name)
        case "dig":
            return ("dig", "-r", name, "A")
        case "curl":
            quiet = ("-q", "-4", "-sv", "-o", "/dev/null", "-w", "%{time_namelookup}", "--noproxy", "*")
            return ("curl", *quiet, "--max-time", f"{max(_MOST * seconds, 0.1):.1f}", f"http://{name}/")


def finding(by: By, status: int, printed: str, complained: str) -> Finding:
    """What the exit status and both outputs say."""
    match by:
        case "getent":
            return _listed(status, tuple(dict.fromkeys(_ADDRESS.findall(printed))), _NOT_FOUND)
        case "dig":
            return _digged(status, printed)
        case "curl":
            tried = tuple(dict.fromkeys(_TRIED.findall(complained)))
            if not tried and status == _TIMED_OUT:
                return Finding("silence")
            found = _listed(0 if tried else status, tried, _UNRESOLVED)
            took = _SECONDS.search(printed)
            return replace(found, took_ms=float(took[0]) * 1000 if took else None)


def _listed(status: int, answers: tuple[str, ...], none: int) -> Finding:
    if status == none:
        return Finding("nothing")
    return Finding("ok", answers) if status == 0 and answers else Finding("broken")


def _digged(status: int, printed: str) -> Finding:
    if status == _NO_REPLY:
        return Finding("silence")
    found = _STATUS.findall(printed)
    records: Sequence[tuple[str, str]] = _RECORD.findall(printed)
    match found[-1:]:
        case ["NOERROR"] if records:
            return Finding("ok", tuple(data for _, data in records), max(int(ttl) for ttl, _ in records))
        case ["NOERROR"]:
            return Finding("nodata")
        case ["NXDOMAIN"]:
            return Finding("nxdomain")
        case ["REFUSED"]:
            return Finding("refused")
        case [_]:
            return Finding("servfail")
        case _:
            return Finding("broken")
