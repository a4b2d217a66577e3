from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from core_lab import POWER, VPE, VPN, faults_of, text_of

from labctl.claims.expectations import Change, Check, Drill
from labctl.describe import Described, describe
from labctl.errors import DescriptionError
from labctl.model.network import TRANSIT
from labctl.model.services import PathWatcher
from labctl.plan.faults import Blackhole, LinkDown, Port
from labctl.plan.objects import Gre, Plan, Process, XfrmPolicy
from labctl.probes.wire import Dns, Inject, Named, Ping, Tap, Tcp, Udp

TOPOLOGIES = sorted((Path(__file__).resolve().parents[2] / "topologies").glob("*.yaml"))
each_topology = pytest.mark.parametrize("lab", TOPOLOGIES, ids=lambda path: path.stem, indirect=True)


@pytest.fixture(name="lab", scope="module")
def shipped_lab(request: pytest.FixtureRequest) -> Described:
    path: Path = request.param
    return describe(path.read_bytes(), path.name)


def lab(rows: str, *checks: str, drills: str = "", changes: str = "", time_scale: int = 1) -> Described:
    tail = "checks:\n" + "".join(f"  - {{id: C{i}, {check}}}\n" for i, check in enumerate(checks))
    tail += f"drills:\n  - {drills}\n" if drills else ""
    tail += "changes:\n" + "".join(f"  - {row}\n" for row in changes.split("\n")) if changes else ""
    return describe(text_of(rows, tail), "x.yaml", time_scale)


def refused(rows: str, *checks: str, drills: str = "", changes: str = "") -> str:
    with pytest.raises(DescriptionError) as error:
        lab(rows, *checks, drills=drills, changes=changes)
    return faults_of(error)


# ---- the shipped topologies


@each_topology
def test_a_shipped_topology_is_named_as_its_file(lab: Described) -> None:
    assert lab.name == Path(lab.source).stem
    assert lab.about


def beside(claim: Drill | Change) -> tuple[Check, ...]:
    return (*claim.first, *claim.then, *claim.afterwards)


@each_topology
def test_every_shipped_check_says_what_it_claims(lab: Described) -> None:
    assert all(check.about for check in lab.checks)
    assert all(drill.about for drill in lab.drills)
    assert all(change.about for change in lab.changes)
    assert all(check.about for change in lab.changes for check in beside(change))


@each_topology
def test_every_shipped_negative_check_has_a_control_in_its_lab(lab: Described) -> None:
    known = {check.id for check in lab.checks}
    claims: tuple[Drill | Change, ...] = (*lab.drills, *lab.changes)
    for mine in (lab.checks, *(beside(claim) for claim in claims)):
        for check in mine:
            assert set(check.control) <= known | {each.id for each in mine}
            assert check.control or not check.negative


def devices(plan: Plan) -> set[tuple[str, str]]:
    ends = (end for each in plan.objects for end in (getattr(each, "a", None), getattr(each, "b", None), each))
    return {(getattr(end, "namespace", ""), getattr(end, "name", "")) for end in ends}


def places(taps: tuple[Tap, ...]) -> set[tuple[str, str]]:
    return {(tap.namespace, tap.device) for tap in taps}


@each_topology
def test_every_tap_is_on_a_device_that_the_lab_has_when_it_is_opened(lab: Described) -> None:
    for check in lab.checks:
        assert places(check.taps) <= devices(lab.changed.get(check.id, lab.plan))
    for traffic in (*(drill.traffic for drill in lab.drills), *(change.traffic for change in lab.changes)):
        assert places(traffic.taps + traffic.track) <= devices(lab.plan)
    for change in lab.changes:
        for check in change.then:
            assert places(check.taps) <= devices(lab.changed[change.id])


@each_topology
def test_every_sight_and_hop_has_a_tap(lab: Described) -> None:
    for check in lab.checks:
        names = {tap.name for tap in check.taps}
        assert {sight.on for sight in (*check.see, *check.silent)} <= names
        assert {hop.tap for hop in check.path} <= names
    for drill in lab.drills:
        names = {tap.name for tap in drill.traffic.taps}
        parts = (drill.throughout, drill.before, drill.meanwhile, drill.after)
        assert {sight.on for part in parts for sight in (*part.see, *part.silent)} <= names


# ---- checks


def test_names_become_addresses() -> None:
    found = lab(
        f"{VPN}bb: {{kind: backbone, provider: ibm}}\npdns: {{kind: private_dns, on: bb, addresses: [161.26.0.7]}}\n",
        "from: pc, do: {tcp: {to: ecs1, port: 8080, send: 1kB}}, expect: ok",
        "from: pc, do: {tcp: {to: 10.0.1.2, port: 1}}, expect: ok",
        "from: pc, do: {udp: {to: ecs1, port: 53}}, expect: ok",
        "from: pc, do: {ping: {to: ecs1, size: 100, df: true}}, expect: ok",
        "from: pc, do: {dns: {server: 161.26.0.7, name: a.b, type: TXT, transport: tcp}}, expect: ok",
        "from: pc, do: {inject: {source: ecs1, to: pc, port: 80, via: 172.16.10.1}}, expect: ok, see: [{on: dc}]",
    )
    ecs1, pc = IPv4Address("10.0.1.10"), IPv4Address("172.16.10.10")
    assert [check.action for check in found.checks] == [
        Tcp(8080, ecs1, send=1000),
        Tcp(1, IPv4Address("10.0.1.2")),
        Udp(ecs1, 53),
        Ping(ecs1, 100, True),
        Dns(IPv4Address("161.26.0.7"), "a.b", "TXT", "tcp"),
        Inject(ecs1, pc, 80, IPv4Address("172.16.10.1")),
    ]


def test_a_domain_name_is_resolved_by_the_senders_own_resolver() -> None:
    [check] = lab(VPE, "from: vsi1, do: {tcp: {to: kms.example.com, port: 443}}, expect: ok").checks
    assert check.action == Tcp(
        443, None, Named("kms.example.com", (IPv4Address("161.26.0.7"), IPv4Address("161.26.0.8"))), 64
    )


def test_who_has_no_resolver_cannot_be_told_a_domain_name() -> None:
    told = refused(VPN, "from: pc, do: {tcp: {to: kms.example.com, port: 443}}, expect: ok")
    assert told.endswith(
        "checks[0].do.tcp.to `kms.example.com`: pc has no resolver to ask for a domain name; write an address"
    )


def test_an_icmp_error_may_come_from_any_address_of_its_node() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: {no_route: {by: gw}}, control: C1"
    [check, _] = lab(VPN, row, "from: pc, do: {ping: {to: gw}}, expect: ok").checks
    assert {str(address) for address in check.expected.by} == {"10.0.1.2", "198.51.100.10", "203.0.113.10"}
    assert str(check.expected) == "no_route, by gw"


def test_the_addresses_of_a_node_include_wires_tunnels_and_its_loopback() -> None:
    ok = "from: lpar-in, do: {ping: {to: lpar-byoip}}, expect: ok"
    [check, _] = lab(
        POWER, "from: lpar-in, do: {ping: {to: lpar-in}}, expect: {no_route: {by: power}}, control: C1", ok
    ).checks
    assert {"172.16.3.1", "172.16.3.5", "10.150.0.1", "169.254.254.2"} <= {str(each) for each in check.expected.by}
    [check, _] = lab(
        VPE,
        "from: vsi1, do: {ping: {to: vsi1}}, expect: {no_route: {by: bb}}, control: C1",
        "from: vsi1, do: {ping: {to: 10.240.0.1}}, expect: ok",
    ).checks
    assert check.expected.by
    assert all(each in TRANSIT for each in check.expected.by)


def test_a_link_is_tapped_where_frames_enter_it_and_a_node_on_all_its_devices() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok, see: [{on: vpc1.app}, {on: gw.isp1}], path: [pc, gw]"
    [check] = lab(VPN, row).checks
    assert set(check.taps) == {
        *(Tap("vpc1.app", "vpc1.app", port, "in") for port in ("vpc1", "ecs1", "gw")),
        Tap("gw.isp1", "isp1.0", "gw", "both"),
        Tap("path pc", "pc", "dc", "both"),
        *(Tap("path gw", "gw", device, "both") for device in ("vpc1-app", "isp1-0", "isp2-0", "t1", "t2")),
    }


def test_a_tap_that_two_sights_share_is_opened_once() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok, see: [{on: dc, proto: icmp}], silent: [{on: dc, proto: tcp}]"
    [check] = lab(VPN, row).checks
    assert len(set(check.taps)) == len(check.taps) == 2


def test_a_check_may_say_how_long_it_waits() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok"
    assert lab(VPN, row, f"{row}, within: 7s").checks[1].timeout_ms == 7000
    assert lab(VPN, row, f"{row}, within: 7s", time_scale=3).checks[1].timeout_ms == 21_000
    assert lab(VPN, row).checks[0].timeout_ms * 3 == lab(VPN, row, time_scale=3).checks[0].timeout_ms


def test_what_is_claimed_of_an_answer_is_kept() -> None:
    row = "from: pc, do: {tcp: {to: ecs1, port: 8080}}, expect: {ok: {source: pc, server: ecs1, mss: 1360}}"
    [check] = lab(VPN, row).checks
    assert str(check.expected) == "ok, from server ecs1, client seen as 172.16.10.10, mss at most 1360"


# ---- changes


def test_a_change_is_compiled_beside_the_lab_and_leaves_it_alone() -> None:
    row = "from: lpar-in, do: {ping: {to: lpar-byoip}}, expect: ok"
    found = lab(POWER, f"{row}, with: {{set: {{byoip.enabled: false}}}}", row)
    assert set(found.changed) == {"C0"}
    assert [each.up for each in found.plan.objects if isinstance(each, Gre)] == [True, True]
    assert [each.up for each in found.changed["C0"].objects if isinstance(each, Gre)] == [False, False]


def test_a_change_is_stretched_in_time_as_the_lab_is() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok, with: {set: {t1.weight: 50}}"
    plan = lab(VPN, row, time_scale=4).changed["C0"]
    programs = [each.program for each in plan.objects if isinstance(each, Process)]
    paths = [path for program in programs if isinstance(program, PathWatcher) for path in program.paths]
    assert {path.interval_ms for path in paths} == {800}


def test_a_change_that_takes_the_sender_away_breaks_a_rule() -> None:
    told = refused(VPN, "from: pc, do: {ping: {to: ecs1}}, expect: ok, with: {remove: [dc.hosts.pc]}")
    assert "checks[0].with `pc`: breaks a rule at checks[0].from: there is no node of this name" in told


# ---- drills


DRILL = "{id: D1, during: C0, fault: {blackhole: {link: isp1, proto: esp}}, for: 1s, bounds: {restore: 500ms}}"
FROM_PC = "from: pc, do: {tcp: {to: ecs1, port: 8080}}, expect: ok"


def test_a_drill_streams_between_the_ends_of_its_check() -> None:
    [drill] = lab(VPN, FROM_PC, drills=DRILL).drills
    traffic = drill.traffic
    assert (traffic.node, traffic.target_node, traffic.target) == ("pc", "ecs1", IPv4Address("10.0.1.10"))
    assert (drill.hold_ms, traffic.rate, drill.bounds.restore_ms) == (1000, 100, 500)
    assert drill.bounds.felt.tcp_survives


def test_a_drill_strikes_every_port_of_its_link() -> None:
    [drill] = lab(VPN, FROM_PC, drills=DRILL).drills
    assert isinstance(drill.fault, Blackhole)
    assert {(port.namespace, port.device) for port in drill.fault.ports} == {
        ("isp1.0", "isp1"),
        ("isp1.0", "gw"),
        ("isp1.0", "cgw"),
    }
    assert drill.fault.proto == "esp"


def test_one_side_of_a_gateway_may_be_struck_alone() -> None:
    row = "{id: D1, during: C0, fault: {link_down: gw.isp1}, bounds: {lost: 9}}"
    [drill] = lab(VPN, FROM_PC, drills=row).drills
    assert (drill.fault, drill.hold_ms) == (LinkDown((Port("isp1.0", "gw"),)), 2000)


def test_time_stretches_a_drill_and_thins_its_stream() -> None:
    bounds = "{restore: 500ms, not_before: 100ms, lost: 5}"
    row = DRILL.replace("{restore: 500ms}", bounds)
    [drill] = lab(VPN, FROM_PC, drills=row, time_scale=4).drills
    assert (drill.hold_ms, drill.traffic.rate, drill.bounds.restore_ms, drill.bounds.not_before_ms) == (
        4000,
        25,
        2000,
        400,
    )
    assert drill.bounds.felt.lost == 5
    [slow] = lab(VPN, FROM_PC, drills=row, time_scale=1000).drills
    assert slow.traffic.rate == 1


def test_a_drill_may_stream_to_an_address_that_a_node_holds() -> None:
    [drill] = lab(VPN, "from: pc, do: {ping: {to: 10.0.1.2}}, expect: ok", drills=DRILL).drills
    assert drill.traffic.target_node == "gw"


# ---- live changes


SWAP = "{id: X1, during: C0, set: {t1.weight: 0, t2.weight: 100}, bounds: {lost: 0}}"
THEN = (
    "{id: X1, during: C0, about: more, bounds: {lost: 3, reach: 400ms}, rate: 200,"
    " add: {dc.hosts.pc2: 172.16.10.11}, then: [{id: X1-new, from: pc2, do: {ping: {to: ecs1}}, expect: ok},"
    " {id: X1-none, from: pc2, do: {ping: {to: 10.0.9.9}}, expect: no_route, control: X1-new}]}"
)


def test_a_change_has_its_plan_its_traffic_its_words_and_its_bounds() -> None:
    found = lab(VPN, FROM_PC, changes=THEN)
    [change] = found.changes
    assert (change.what, change.about) == ("+ dc.hosts.pc2: 172.16.10.11", "more")
    assert (change.traffic.node, change.traffic.target_node, change.traffic.rate) == ("pc", "ecs1", 200)
    assert (change.felt.lost, change.reach_ms) == (3, 400)
    assert set(found.changed) == {"X1"}
    assert ("pc2", "dc") in devices(found.changed["X1"]) - devices(found.plan)


def test_what_a_change_claims_is_resolved_against_the_lab_as_it_is_then() -> None:
    row = "{id: X1, during: C0, set: {ecs1.address: 10.0.1.77}, bounds: {reach: 1s}, then: [%s]}"
    [change] = lab(VPN, FROM_PC, changes=row % "{id: Y, from: pc, do: {ping: {to: ecs1}}, expect: ok}").changes
    [check] = change.then
    assert check.action == Ping(IPv4Address("10.0.1.77"))
    assert change.traffic.target == IPv4Address("10.0.1.10")


def test_a_check_of_a_change_may_stand_on_one_of_the_lab_as_it_is() -> None:
    gone = "{id: X1-gone, from: pc, do: {ping: {to: ecs1}}, expect: filtered, control: C1}"
    row = f"{{id: X1, during: C0, remove: [ecs1.serves], bounds: {{reach: 1s}}, then: [{gone}]}}"
    [change] = lab(VPN, FROM_PC, "from: pc, do: {ping: {to: ecs1}}, expect: ok", changes=row).changes
    assert [check.control for check in change.then] == [("C1",)]


BESIDE = "{id: X1, during: C0, set: {ecs1.address: 10.0.1.77}, bounds: {lost: 9}, %s: [%s]}"


@pytest.mark.parametrize("part", ["first", "afterwards"])
def test_what_is_claimed_before_and_after_a_change_is_of_the_lab_as_it_is(part: str) -> None:
    row = BESIDE % (part, "{id: Y, from: pc, do: {ping: {to: ecs1}}, expect: ok}")
    [change] = lab(VPN, FROM_PC, changes=row).changes
    assert [check.action for check in getattr(change, part)] == [Ping(IPv4Address("10.0.1.10"))]


def test_a_check_may_stand_on_one_before_the_change_which_is_of_another_lab() -> None:
    first = "{id: Y, from: pc, do: {ping: {to: 10.0.1.10}}, expect: ok}"
    gone = "{id: Z, from: pc, do: {ping: {to: 10.0.1.10}}, expect: no_route, control: Y}"
    row = BESIDE[:-1] % ("first", first) + f", then: [{gone}]}}"
    [change] = lab(VPN, FROM_PC, changes=row).changes
    assert [check.control for check in change.then] == [("Y",)]
    told = refused(VPN, FROM_PC, changes=row.replace("then", "afterwards"))
    assert (
        "changes[0].afterwards[0].control `Y`: no control that works is the same probe with one thing changed" in told
    )


def test_two_checks_of_one_change_have_two_ids() -> None:
    check = "{id: Y, from: pc, do: {ping: {to: ecs1}}, expect: ok}"
    row = BESIDE[:-1] % ("first", check) + f", afterwards: [{check}]}}"
    assert "changes[0].afterwards[0].id `Y`: a check before it has this id" in refused(VPN, FROM_PC, changes=row)


def test_a_change_is_stretched_in_time_and_its_traffic_thinned() -> None:
    found = lab(VPN, FROM_PC, changes=THEN, time_scale=4)
    [change] = found.changes
    assert (change.reach_ms, change.traffic.rate) == (1600, 50)
    assert [check.timeout_ms for check in change.then] == [4 * each.timeout_ms for each in _then()]


def _then() -> tuple[Check, ...]:
    return lab(VPN, FROM_PC, changes=THEN).changes[0].then


def test_several_changes_each_begin_at_the_lab_as_it_is() -> None:
    more = SWAP.replace("X1", "X2").replace("set: {t1.weight: 0, t2.weight: 100}", "remove: [t2]")
    found = lab(VPN, FROM_PC, changes=f"{SWAP}\n{more}")
    assert [each.what for each in found.changes] == ["t1.weight: 0 (was 100), t2.weight: 100 (was 0)", "- t2"]
    policies = [sum(isinstance(each, XfrmPolicy) for each in found.changed[word].objects) for word in ("X1", "X2")]
    assert policies[0] > policies[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "set: {t9.weight: 0}",
            "changes[0].set.t9.weight `0`: `t9.weight` leads to nothing: there is no `t9`",
        ),
        ("add: {t1.check: {to: 10.0.0.1}}", "changes[0].add.t1.check: `t1.check` has `to` already"),
        ("remove: [t1, nobody]", "changes[0].remove[1] `nobody`: `nobody` leads to nothing"),
        (
            "set: {ecs1.address: 10.0.2.1}",
            "changes[0].set.ecs1.address `10.0.2.1`: breaks a rule at resources.ecs1.address: lies outside its subnet",
        ),
        ("set: {t1.weight: 100}", "changes[0] `t1.weight: 100`: leaves the lab as it is"),
    ],
)
def test_an_unsound_edit_of_a_change_is_refused_where_it_is_written(change: str, told: str) -> None:
    assert told in refused(VPN, FROM_PC, changes=f"{{id: X1, during: C0, {change}, bounds: {{lost: 0}}}}")


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (
            "{id: Y, from: pc2x, do: {ping: {to: ecs1}}, expect: ok}",
            "changes[0].then[0].from `pc2x`: there is no node of this name (did you mean `pc2`?)",
        ),
        ("{id: Y, form: pc2, do: {ping: {to: ecs1}}, expect: ok}", "changes[0].then[0].form: unknown field"),
        (
            "{id: Y, from: pc2, do: {ping: {to: nobody}}, expect: ok}",
            "changes[0].then[0].do.ping.to `nobody`: is no node and no IPv4 address",
        ),
        ("{id: Y, from: pc2, do: {ping: {to: ecs1}}, expect: filtered}", "changes[0].then[0] `Y`: a check that"),
        (
            "{id: Y, from: pc2, do: {ping: {to: 10.0.1.99}}, expect: ok}",
            "changes[0].then[0].do.ping.to `10.0.1.99`: no node of the lab has this address",
        ),
        (
            "{id: C0, from: pc2, do: {ping: {to: ecs1}}, expect: ok}",
            "changes[0].then[0].id `C0`: a check of the lab has this id",
        ),
        (
            "{id: Y, from: pc2, do: {ping: {to: ecs1}}, expect: ok, with: {set: {t1.weight: 1}}}",
            "changes[0].then[0].with: a check of `then` has no change of its own",
        ),
        (
            "{id: Y, from: pc, do: {ping: {to: gw}}, expect: ok}, {id: Y, from: pc, do: {ping: {to: pc}}, expect: ok}",
            "changes[0].then[1].id `Y`: two checks have this id",
        ),
    ],
)
def test_an_unsound_check_of_a_change_is_refused_where_it_is_written(check: str, told: str) -> None:
    row = "{id: X1, during: C0, add: {dc.hosts.pc2: 172.16.10.11}, bounds: {reach: 1s}, then: [%s]}"
    assert told in refused(VPN, FROM_PC, changes=row % check)


def test_an_unsound_check_of_a_drill_is_refused_where_it_is_written() -> None:
    check = "then: [{id: Y, from: pc, do: {ping: {to: ecs1}}, expect: filtered}]"
    assert "drills[0].then[0] `Y`: a check that" in refused(VPN, FROM_PC, drills=DRILL[:-1] + ", " + check + "}")


def test_what_a_change_adds_is_nothing_to_the_checks_of_the_lab_as_it_is() -> None:
    told = refused(VPN, FROM_PC, "from: pc2, do: {ping: {to: ecs1}}, expect: ok", changes=THEN)
    assert "checks[1].from `pc2`: there is no node of this name" in told


def test_a_check_a_drill_and_a_change_have_each_an_id_of_their_own() -> None:
    told = refused(VPN, FROM_PC, drills=DRILL.replace("D1", "C0"), changes=SWAP.replace("X1", "C0"))
    assert "drills[0].id `C0`: a check has this id" in told
    assert "changes[0].id `C0`: a check has this id" in told
    told = refused(VPN, FROM_PC, drills=DRILL, changes=SWAP.replace("X1", "D1"))
    assert "changes[0].id `D1`: a drill has this id" in told


def test_a_check_whose_change_leaves_the_lab_as_it_is_proves_nothing() -> None:
    told = refused(VPN, f"{FROM_PC}, with: {{set: {{t2.weight: 0}}}}")
    assert "checks[0].with `t2.weight: 0`: leaves the lab as it is" in told


def test_the_kinds_of_the_resources_are_told() -> None:
    row = VPN + "vsi9: {kind: vsi, subnet: vpc1.app, address: 10.0.1.9}\n"
    kinds = lab(row, FROM_PC).kinds
    assert (kinds["t1"], kinds["gw"], kinds["vsi9"]) == ("ipsec_connection", "vpn_gateway", "instance")


# ---- refusals


def test_faults_of_checks_of_edits_and_of_what_changes_claim_come_at_once() -> None:
    told = refused(
        VPN,
        "from: pc, do: {tcp: {to: nobody, port: 1}}, expect: ok",
        "from: pc, do: {ping: {to: ecs1}}, expect: ok, with: {set: {t1.mtu: 9}}",
        changes="{id: X1, during: C1, set: {t1.mtu: 1300}, bounds: {lost: 0},"
        " then: [{id: Y, from: pc, do: {ping: {to: none}}, expect: ok}]}",
    )
    places = [line.split(": ")[1].split(" ")[0] for line in told.splitlines()]
    assert places[0] == "checks[0].do.tcp.to"
    assert {"checks[1].with.set.t1.mtu", "changes[0].then[0].do.ping.to"} <= set(places)


def test_what_the_model_tells_of_sound_resources_is_told_beside_the_faults_of_others() -> None:
    told = refused(
        VPN.replace("{pc: 172.16.10.10}", "{pc: 172.16.10.10, pc2: 172.16.11.1}") + "dc2: {kind: site, prefix: 1}\n"
        "lan: {kind: site, prefix: 192.168.7.0/24, hosts: {a: 192.168.7.9, b: 192.168.7.10}}\n",
        "from: a, do: {ping: {to: b}}, expect: ok",
        "from: b, do: {tcp: {to: a, port: 1}}, expect: refused, control: C0",
        "from: a, do: {ping: {to: 192.168.7.77}}, expect: ok",
        "from: a, do: {ping: {to: pc2}}, expect: ok",
        "from: pc, do: {ping: {to: ecs1}}, expect: ok, with: {set: {dc.prefix: 172.16.0.0/16}}",
    )
    assert [line.split(": ")[1].split(" ")[0] for line in told.splitlines()] == [
        "resources.dc.hosts.pc2", "resources.dc2.prefix", "checks[1].control", "checks[2].do.ping.to",
    ]  # fmt: skip


def test_what_a_faulty_resource_would_have_brought_is_no_fault_of_those_who_use_it() -> None:
    told = refused(
        VPE.replace("address: 166.9.20.10", "address: 10.9.20.10"),
        "from: vsi1, do: {tcp: {to: kms.example.com, port: 443}}, expect: ok",
        "from: vsi1, do: {tcp: {to: 10.240.0.9, port: 443}}, expect: {ok: {server: kms}}",
        "from: vsi1, do: {ping: {to: 10.240.0.9}}, expect: filtered, see: [{on: bb}], control: C1",
        drills="{id: D1, during: C1, fault: {kill: {node: kms, program: server}}, bounds: {lost: 9}}",
    )
    assert [line.split(": ")[1].split(" ")[0] for line in told.splitlines()] == ["resources.kms.address"]


def test_checks_that_were_read_are_judged_beside_one_that_was_not() -> None:
    told = refused(
        VPN,
        "from: pc, do: {ping: {two: ecs1}}, expect: ok",
        "from: pc, do: {ping: {to: 10.0.1.77}}, expect: ok",
        "from: pc, do: {tcp: {to: ecs1, port: 1}}, expect: refused, control: C0",
        drills="{id: D1, during: C1, fault: {zone_off: zone-x}, bounds: {lost: 9}}",
        changes="{id: X1, during: C1, set: {t1.weight: 100}, bounds: {lost: 0}}",
    )
    assert [line.split(": ")[1].split(" ")[0] for line in told.splitlines()] == [
        "checks[0].do.ping.two", "checks[1].do.ping.to", "drills[0].fault.zone_off.zone",
        "changes[0]",
    ]  # fmt: skip


def test_all_faults_come_at_once_from_resources_checks_and_drills() -> None:
    told = refused(
        VPN.replace("address: 10.0.1.10", "address: 10.0.2.10"),
        "from: pc, do: {ping: {to: nobody}}, expect: ok",
        drills="{id: D1, during: C0, fault: {link_down: isp1}, bounds: {}}",
    )
    assert [line.split(": ")[1].split(" ")[0] for line in told.splitlines()] == [
        "resources.ecs1.address", "checks[0].do.ping.to", "drills[0].bounds",
    ]  # fmt: skip


def test_a_word_in_a_drill_is_checked_as_one_in_a_check() -> None:
    row = DRILL[:-1] + ", before: {see: [{on: isp1, src: nobody}]}, after: {silent: [{on: isp1, inner: {dst: x}}]}}"
    told = refused(VPN, FROM_PC, drills=row)
    assert "drills[0].before.see[0].src `nobody`" in told
    assert "drills[0].after.silent[0].inner.dst `x`" in told


def test_the_message_counts_the_faults_and_says_that_nothing_was_made() -> None:
    with pytest.raises(DescriptionError) as error:
        describe(b"lab: x\nresources: {a: {kind: site}, b: {kind: site}}\n", "x.yaml")
    assert error.value.message == "x.yaml: 2 faults; nothing was created"
    assert error.value.exit_code == 2
