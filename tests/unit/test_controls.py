"""Controls: which checks are the same probe with one thing changed, and which are not."""

from __future__ import annotations

import pytest
from core_lab import VPN, document_of, network_of, text_of

from labctl.claims.controls import besides
from labctl.claims.refusals import refuse_checks, refuse_unplaced
from labctl.kinds.resolve import resolve

CLAIM = "id: N1, from: pc, do: {tcp: {to: ecs1, port: 8080}}, expect: filtered"


def faults(claim: str, *others: str, control: str = "P1") -> list[str]:
    rows = (f"{claim}, control: [{control}]", *others)
    document = document_of(text_of(VPN, "checks:\n" + "".join(f"  - {{{row}}}\n" for row in rows)))
    refuse_checks(document)
    net = resolve(document)
    assert document.reading.faults == []
    refuse_unplaced(document, net)
    return [f"{each.path}: {each.rule}" for each in document.reading.faults]


def found(control: str, claim: str = CLAIM) -> str:
    """What is said of `control`, "" where it is good enough."""
    told = faults(claim, f"id: P1, {control}")
    return told[0].partition(": P1 ")[2] if told else ""


@pytest.mark.parametrize(
    "control",
    [
        "from: gw, do: {tcp: {to: ecs1, port: 8080}}, expect: ok",
        "from: pc, do: {tcp: {to: ecs1, port: 8081}}, expect: ok",
        "from: pc, do: {tcp: {to: gw, port: 80}}, expect: ok",
        "from: pc, do: {tcp: {to: ecs1, port: 8080, send: 1MB}}, expect: ok",
        "from: pc, do: {udp: {to: ecs1, port: 8080}}, expect: ok",
        "from: pc, do: {ping: {to: ecs1}}, expect: ok",
        "from: pc, do: {ping: {to: 10.0.1.10, size: 9, df: true}}, expect: {ok: {}}",
        "from: pc, do: {http: {to: ecs1, port: 8080}}, expect: {ok: {status: 200}}, within: 9s, see: [{on: isp1}]",
        "from: pc, do: {tcp: {to: 10.0.1.10, port: 8080}}, expect: ok, with: {set: {t1.weight: 1, t2.weight: 2}}",
    ],
    ids=["who asks", "port", "target", "manner", "udp", "ping", "ping by address", "http", "the lab"],
)
def test_one_thing_may_differ(control: str) -> None:
    assert found(control) == ""


@pytest.mark.parametrize(
    ("control", "told"),
    [
        ("from: gw, do: {tcp: {to: ecs1, port: 8081}}, expect: ok",
         "differs in who asks (gw, not pc) and what it asks for (port 8081, not 8080)"),
        ("from: pc, do: {tcp: {to: ecs1, port: 8080, send: 1MB}}, expect: ok, with: {set: {t2.weight: 1}}",
         "differs in how it asks (send 1000000, not 64) and the lab"),
        ("from: pc, do: {ping: {to: gw}}, expect: ok",
         "differs in how it asks (ping, not tcp) and what it asks for (to 10.0.1.2, not 10.0.1.10)"),
        ("from: gw, do: {ping: {to: ecs1}}, expect: ok, with: {set: {t2.weight: 1}}",
         "differs in who asks (gw, not pc), how it asks (ping, not tcp) and the lab"),
        ("from: pc, do: {tcp: {to: 10.0.1.10, port: 8080}}, expect: ok", "is the very same probe"),
    ],
)  # fmt: skip
def test_two_things_may_not_and_are_told(control: str, told: str) -> None:
    assert found(control) == told


def test_the_same_change_written_in_another_way_is_the_same_lab() -> None:
    claim = f"{CLAIM}, with: {{set: {{t1.weight: 1, t2.weight: 2}}, remove: [t1.check, t2.check]}}"
    other = "with: {remove: [t2.check, t1.check], set: {t2.weight: 2, t1.weight: 1}}"
    assert found(f"from: pc, do: {{ping: {{to: ecs1}}}}, expect: ok, {other}", claim) == ""
    wider = "with: {remove: [t1.check], set: {t2.weight: 2, t1.weight: 1}}"
    assert "and the lab" in found(f"from: pc, do: {{ping: {{to: ecs1}}}}, expect: ok, {wider}", claim)


def test_a_long_value_of_a_change_counts_to_its_end() -> None:
    long = "with: {set: {t1.selectors.local: [10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, %s]}}"
    claim = f"{CLAIM}, {long % '10.4.0.0/16'}"
    assert found(f"from: pc, do: {{ping: {{to: ecs1}}}}, expect: ok, {long % '10.4.0.0/16'}", claim) == ""
    assert "and the lab" in found(f"from: pc, do: {{ping: {{to: ecs1}}}}, expect: ok, {long % '10.5.0.0/16'}", claim)


def test_one_near_control_is_enough_and_only_one_that_works_counts() -> None:
    near = "id: P1, from: pc, do: {ping: {to: ecs1}}, expect: ok"
    far = "id: P2, from: gw, do: {ping: {to: cgw}}, expect: ok"
    failing = "id: P3, from: pc, do: {udp: {to: ecs1, port: 8080}}, expect: refused, control: P1"
    other = "id: P4, from: gw, do: {ping: {to: ecs1}}, expect: ok"
    assert faults(CLAIM, near, far, failing, control="P2, P3, P1")[1:] == []
    told = faults(CLAIM, failing.replace("control: P1", "control: P4"), far, other, control="P3, P2")
    assert told[0].startswith("checks[0].control: no control that works")
    assert "P3" not in told[0]


def test_a_check_that_works_needs_no_near_control() -> None:
    assert faults(CLAIM.replace("filtered", "ok"), "id: P1, from: gw, do: {ping: {to: cgw}}, expect: ok") == []


def test_a_check_proved_before_a_change_differs_in_the_lab() -> None:
    text = text_of(VPN, f"checks:\n  - {{{CLAIM.replace('filtered', 'ok')}}}\n")
    before, after = document_of(text), document_of(text)
    net = network_of(VPN)
    assert besides(before, net, {})["N1"].lab != besides(after, net, {}, "C1")["N1"].lab
