"""A DNS server's configuration in words: all that decides what it answers."""

from __future__ import annotations

from collections.abc import Iterator

from labctl.model.services import Resolver, Zone

_MANY = 8
"""Records of one name and type that are told one by one; of more the first and the last are."""
_ORDERS = {"given": "", "near": ", those near to the client first", "rotate": ", in turn"}


def resolver_words(program: Resolver) -> str:
    """`answers DNS at 10.20.30.5, zones none; asks 192.168.5.2 for onprem.example.com`, and so on."""
    return f"answers DNS at {_listed(program.listen)}, {'; '.join((*_knowledge(program), *_clients(program)))}"


def _knowledge(program: Resolver) -> Iterator[str]:
    yield f"zones {', '.join(map(_zone, program.zones)) or 'none'}"
    for copy in program.secondaries:
        yield f"copies {copy.zone} from {_listed(copy.primaries, ' or ')}"
    for rule in program.forwards:
        yield f"asks {_listed(rule.to, ' or ')} for {rule.zone or 'all else'}"
    if program.forwards or program.secondaries:
        yield f"waits {program.attempt_ms} ms for each, {program.patience_ms} ms for all"
        yield f"keeps answers {program.positive_s} s at most, denials {program.negative_s} s"


def _clients(program: Resolver) -> Iterator[str]:
    if program.clients:
        others = "refuses others" if program.strangers == "refused" else "is silent to others"
        yield f"answers {_listed(program.clients, ' ')}, {others}"


def _zone(zone: Zone) -> str:
    seen = _listed(zone.permitted, " ") or "everyone"
    given = f", given to {_listed(zone.transfer_to, ' ')}" if zone.transfer_to else ""
    return f"{zone.name} ({' '.join(_records(zone))}) for {seen}{_ORDERS[zone.order]}{given}"


def _records(zone: Zone) -> Iterator[str]:
    sets: dict[str, list[str]] = {}
    for record in zone.records:
        sets.setdefault(record.name, []).append(record.value)
    for name, values in sets.items():
        if len(values) > _MANY:
            yield f"{name}={values[0]}..{values[-1]}"
        else:
            yield from (f"{name}={value}" for value in values)


def _listed(things: tuple[object, ...], between: str = ", ") -> str:
    return between.join(map(str, things))
