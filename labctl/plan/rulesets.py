"""What iptables rules mean, whichever way they are written: iptables-save tells the same rule with its options in
another order and with what they imply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from labctl.plan.objects import Ruleset

Tables = Iterable[tuple[str, Sequence[str]]]
Meaning = tuple[frozenset[str], tuple[tuple[str, ...], ...]]
"""Of a table: policies of its chains, and its rules, chain by chain, in their order."""

_ADDRESSES = ("-s", "-d", "--ctorigdst", "--ctorigsrc", "--ctrepldst", "--ctreplsrc")
_SAME = {"--source": "-s", "--destination": "-d", "--protocol": "-p", "--in-interface": "-i", "--out-interface": "-o"}
_SAME |= {"--jump": "-j", "--goto": "-g", "--source-port": "--sport", "--destination-port": "--dport"}
_IMPLIED = {("REJECT", "--reject-with", "icmp-port-unreachable")}


def meaning(tables: Tables) -> dict[str, Meaning]:
    """What the tables mean; one that accepts everything means nothing."""
    found: dict[str, Meaning] = {}
    for name, lines in tables:
        policies = {_policy(line) for line in lines if line.startswith(":")}
        meant = frozenset(each for each in policies if not each.endswith(" ACCEPT"))
        # Stable: within a chain the order counts, between chains there is none.
        appended = sorted((line for line in lines if not line.startswith(":")), key=lambda line: line.split()[1])
        rules = tuple(map(canonical, appended))
        if meant or rules:
            found[name] = (meant, rules)
    return found


def beyond(one: Ruleset, other: Ruleset) -> tuple[str, ...]:
    """The lines of `one` that `other` lacks, each after its table."""
    there = meaning(other.tables)
    return tuple(
        f"{name} {line}"
        for name, lines in one.tables
        for line in lines
        if not _among(line, *there.get(name, (frozenset(), ())))
    )


def _among(line: str, policies: frozenset[str], rules: Sequence[tuple[str, ...]]) -> bool:
    if line.startswith(":"):
        return _policy(line).endswith(" ACCEPT") or _policy(line) in policies
    return canonical(line) in rules


def _policy(line: str) -> str:
    return line.rsplit(" [", 1)[0]


def canonical(rule: str) -> tuple[str, ...]:
    """A rule by what it says: its options in order, addresses with their length, without what goes without saying."""
    target = ""
    said = []
    for option in _options(rule.split()):
        if option[0] in ("-j", "-g"):
            target = option[-1]
        if option[0] != "-m" and (target, *option) not in _IMPLIED:
            said.append(" ".join(option))
    return tuple(sorted(said))


def _options(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each option with its values; "!" belongs to the option after it."""
    option: list[str] = []
    denied = False
    for word in words:
        if word == "!":
            denied = True
        elif word.startswith("-"):
            if option:
                yield _plain(option)
            option = [f"! {word}" if denied else _SAME.get(word, word)]
            denied = False
        else:
            option.append(word)
    if option:
        yield _plain(option)


def _plain(option: Sequence[str]) -> tuple[str, ...]:
    name, *values = option
    if name.removeprefix("! ") in _ADDRESSES and len(values) == 1:
        return name, str(IPv4Network(values[0], strict=False))
    return name, *values
