"""The catalogue of bad inputs: each is refused by a description here, or it is said for what it waits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labctl.kinds.registry import KINDS

HERE = Path(__file__).parent

REFUSED: dict[int, str] = {
    1: "tab duplicate-key",
    2: "kind-unknown",
    3: "field-unknown",
    4: "reference-dangling",
    5: "reference-wrong-kind",
    6: "field-missing",
    7: "address-outside-subnet",
    8: "prefix-host-bits",
    9: "address-of-network-broadcast-router",
    10: "address-used-twice address-used-twice-public link-address-used-twice",
    11: "subnets-overlap subnets-overlap-on-a-backbone",
    12: "name-long name-alike",
    13: "reference-cycle",
    14: "version-newer",
    15: "check-negative-without-control check-unknown-link drill-restore-zero",
    16: "public-address",
    17: "unit-missing unit-wrong unit-of-a-rate",
    18: "name-path name-shell name-lab",
    20: "endpoint-gateway-two-in-a-zone endpoint-gateway-list-in-a-zone",
    21: "endpoint-gateway-second",
    22: "service-only-public",
    23: "endpoint-gateway-ipv6",
    24: "endpoint-gateway-outside-zone endpoint-gateway-unknown-zone",
    25: "resolver-second",
    26: "resolver-locations",
    27: "resolver-rules resolver-many-rules",
    28: "resolver-default-deleted",
    29: "zone-name-bad",
    30: "zone-seen-twice",
    31: "resolver-loop resolver-default-loop dns-servers-loop",
    32: "nsx-asks-the-provider",
    33: "route-to-an-overlay",
    56: "port-bad",
    61: "ipsec-selectors-overlap ipsec-two-ways",
    62: "ipsec-many-prefixes ipsec-many-connections",
    63: "ipsec-keys",
    64: "ipsec-weight-too-big ipsec-weights-zero",
    65: "ipsec-check-outside-selectors",
    66: "ipsec-mtu",
    78: "site-in-shared-space",
    81: "ipsec-ends-on-power",
    82: "gre-without-appliance",
    83: "gre-on-a-fast-link",
    84: "gre-halves",
    85: "gre-outer-inside-inner gre-carries-itself",
    87: "power-reserved-range power-filtered-range power-overlaps-classic",
    88: "power-byoip-not-carried",
    94: "jump-server-forwards",
    96: "gre-mtu",
    97: "gre-ends-equal",
}
"""By its number the descriptions that are refused for it."""

WAITING: dict[str, tuple[int, ...]] = {
    "private_cloud": (34, 35, 36, 41, 42),
    "global_reach": (37, 38),
    "expressroute_circuit": (39, 40, 44),
    "er_connection": (43,),
    "eip": (45, 46, 47, 48, 49, 50),
    "nat_gateway": (51, 52, 53, 54),
    "load_balancer": (55, 57, 58, 59, 60),
    "ssl_server": (67, 68, 95),
    "cen": (69, 70, 71, 72),
    "circuit_group": (73, 74, 75, 76),
    "sag": (77, 80),
    "express_connect": (79,),
    "vxc": (90,),
    "cloud_connect": (92,),
}
"""The kinds that are not there yet, and what is to be refused once they are."""

ELSEWHERE: dict[int, str] = {
    19: "no kind has a field for an AS number yet; the type `ASN` refuses 0, 23456 and what is too large (test_types)",
    86: "no fault but a lesson: pvs-ipsec-gre-byoip proves that the tunnel is dead without that route (N4)",
    89: "power_workspace has no field `asn` yet",
    91: "direct_link has no field `routing` yet",
    93: "direct_link has no field `port_group` yet",
    98: "found out on the machine, not in the description (tests/kernel/test_doctor.py)",
    99: "found out on the machine, not in the description (tests/unit/test_state.py)",
    100: "no node of a lab reaches the host, so that no prefix collides with its routes",
}


def test_every_number_of_the_catalogue_is_accounted_for_once() -> None:
    numbers = [*REFUSED, *ELSEWHERE, *(number for each in WAITING.values() for number in each)]
    assert sorted(numbers) == list(range(1, 101))


@pytest.mark.parametrize("name", sorted({name for names in REFUSED.values() for name in names.split()}))
def test_what_is_refused_is_a_description_with_its_message(name: str) -> None:
    assert (HERE / f"{name}.yaml").exists()
    assert re.search(r"[0-9]+ faults?; nothing was created\n\Z", (HERE / f"{name}.txt").read_text())


def test_no_kind_that_something_waits_for_is_there() -> None:
    assert not set(WAITING) & set(KINDS)


@pytest.mark.parametrize(
    ("kind", "field"), [("power_workspace", "asn"), ("direct_link", "routing"), ("direct_link", "port_group")]
)
def test_no_field_that_something_waits_for_is_there(kind: str, field: str) -> None:
    assert field not in KINDS[kind].__dataclass_fields__  # type: ignore[attr-defined]
