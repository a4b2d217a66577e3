"""Which prefixes overlap, and by which address a route leads: found without a look at all, and the same as with one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from labctl.kinds.claims import UNUSABLE, Realm, closed, last, span
from labctl.plan.objects import Address, Route
from labctl.plan.relations import lies_on, networks

SMALL = st.builds(lambda number, length: span(number, length), st.integers(0, 2**32 - 1), st.integers(0, 32))
NEAR = st.builds(lambda number, length: span(10 << 24 | number, length), st.integers(0, 255), st.integers(22, 32))


def network(prefix: tuple[int, int]) -> IPv4Network:
    return IPv4Network(prefix)


@settings(max_examples=200, derandomize=True, database=None)
@given(st.lists(NEAR | SMALL, max_size=8), NEAR | SMALL)
def test_what_overlaps_is_found_among_all_that_is_taken(taken: list[tuple[int, int]], prefix: tuple[int, int]) -> None:
    realm = Realm()
    for i, each in enumerate(taken):
        realm.take(each, i, ())
    found = sorted(str(words) for words, _ in realm.overlapping(prefix))
    assert found == sorted(str(i) for i, each in enumerate(taken) if network(each).overlaps(network(prefix)))


@settings(max_examples=200, derandomize=True, database=None)
@given(NEAR | SMALL)
def test_a_prefix_has_its_last_address_and_is_closed_where_ipaddress_says_so(prefix: tuple[int, int]) -> None:
    assert last(prefix) == int(network(prefix).broadcast_address)
    assert bool(closed(prefix)) == any(network(prefix).overlaps(each) for each in UNUSABLE)


ADDRESSES = st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32), st.sampled_from("ab")), max_size=6)


@settings(max_examples=200, derandomize=True, database=None)
@given(ADDRESSES, st.integers(0, 255), st.sampled_from(["a", "b", None]), st.booleans())
def test_a_route_lies_on_the_addresses_that_lead_to_its_next_hop(
    given_: list[tuple[int, int, str]], via: int, device: str | None, source: bool
) -> None:
    held = [Address("n", device, IPv4Interface((10 << 24 | number, length))) for number, length, device in given_]
    hop = IPv4Address(10 << 24 | via)
    route = Route("n", IPv4Network("0.0.0.0/0"), hop, device, source=held[0].address.ip if held and source else None)
    wanted = {("n", device, "")} if device else set()
    for each in held:
        leads = hop in each.address.network and device in (None, each.device)
        if leads or route.source == each.address.ip:
            wanted |= {("n", each.device, ""), ("n", each.device, str(each.address))}
    assert lies_on(route, networks(held)) == wanted
