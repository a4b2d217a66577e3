"""The iptables rules of a namespace: whether it has any, which is cheap to ask, and what they are, as iptables-save(8)
tells it. Counters are left out.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from labctl.errors import HostError, KernelError
from labctl.kernel.iptables import ENVIRONMENT
from labctl.kernel.netlink import DUMP, NETFILTER, Connection, Message, attributes
from labctl.plan.objects import Ruleset
from labctl.plan.rulesets import meaning

Tables = dict[str, tuple[str, ...]]

_SAVE = "iptables-save"
_SECONDS = 20.0
_LEGACY = Path("/proc/thread-self/net/ip_tables_names")
_GETTABLE = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
_NFPROTO_IPV4 = 2
_LIST_TABLES = Message(_GETTABLE, DUMP, struct.pack("=BBH", _NFPROTO_IPV4, 0, 0), "list tables of rules")
_NAME = 1


@cache
def through_nftables() -> bool:
    """Whether the iptables of this machine keeps its rules in nftables (xtables-nft(8)) or in tables of their own."""
    place = shutil.which(_SAVE, path=ENVIRONMENT["PATH"])
    return place is None or "legacy" not in Path(place).resolve().name


def tables_exist() -> bool:
    """Whether the calling thread's namespace has any table of iptables, be it an empty one. Cheap."""
    if not through_nftables():
        return bool(_LEGACY.exists() and _LEGACY.read_text().strip())
    try:
        connection = Connection(NETFILTER)
    except KernelError:
        return False  # this kernel has no nftables
    try:
        return any(attributes(body[4:]).get(_NAME) for body in connection.dump(_LIST_TABLES))
    except KernelError:
        return False
    finally:
        connection.close()


def save() -> Tables:
    """The tables of the calling thread's namespace that do anything: chains that do not accept, and rules.

    HostError where iptables is missing or does not answer.
    """
    try:
        done = subprocess.run(
            (_SAVE,), capture_output=True, text=True, env=ENVIRONMENT, timeout=_SECONDS, start_new_session=True
        )
    except OSError as error:
        raise HostError(f"cannot run {_SAVE}: {error.strerror}", hint="install the package iptables") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{_SAVE} did not end in {_SECONDS:g} s") from error
    if done.returncode:
        raise HostError(f"{_SAVE}: {done.stderr.strip()}")
    return parse(done.stdout)


def parse(text: str) -> Tables:
    """What `iptables-save` printed."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, policy, _ = line.split(" ", 2)
            if policy != "ACCEPT":
                found.setdefault(table, []).append(f"{chain} {policy} [0:0]")
        elif line.startswith("-A"):
            found.setdefault(table, []).append(line)
    return {name: tuple(lines) for name, lines in found.items()}


def ruleset(namespace: str, tables: Tables, asked: Iterable[Ruleset]) -> Ruleset | None:
    """The tables as a ruleset: one of `asked` where they mean the same; None where they are empty."""
    meant = meaning(tables.items())
    for each in asked:
        if meaning(each.tables) == meant:
            return each
    return Ruleset(namespace, tuple(tables.items())) if tables else None
