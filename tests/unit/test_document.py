from __future__ import annotations

from core_lab import document_of, text_of

from labctl.description.document import Document

NET = "inet: {kind: internet, prefixes: [198.51.100.0/24]}\n"
VPC = "vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}\n"


def faults(document: Document) -> list[str]:
    return [f"{fault.path}: {fault.rule}" for fault in document.reading.faults]


def checks(*rows: str) -> str:
    return "checks:\n" + "".join(f"  - {row}\n" for row in rows)


def test_a_providers_word_is_the_same_kind() -> None:
    for word in ("instance", "ecs", "vsi", "vm"):
        document = document_of(text_of(VPC + f"one: {{kind: {word}, subnet: vpc1.app, address: 10.240.0.4}}"))
        assert type(document.resources["one"]).__name__ == "Instance"
        assert faults(document) == []


def test_names_say_what_each_may_be_used_as() -> None:
    document = document_of(text_of(VPC + "dc: {kind: site, prefix: 172.16.0.0/24, hosts: {pc: 172.16.0.4}}"))
    assert document.names == {
        "vpc1": ("vpc", "node"),
        "vpc1.app": ("subnet", "link"),
        "dc": ("site", "link"),
        "pc": ("host", "node"),
    }


def test_references_are_kept_by_resource_and_leave_itself_out() -> None:
    rows = "pc: {kind: host, net: dc, address: 172.16.0.4}\ndc: {kind: site, prefix: 172.16.0.0/24}"
    assert document_of(text_of(rows)).references == {"pc": ("dc",), "dc": ()}


def test_a_reference_to_a_part_mentions_its_owner() -> None:
    rows = VPC + "one: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}"
    assert document_of(text_of(rows)).references["one"] == ("vpc1",)


def test_what_could_not_be_read_causes_no_second_fault() -> None:
    rows = "vpc1: {kind: vpc, subnets: {app: {zone: z1}}}\none: {kind: vm, subnet: vpc1.app, address: 10.240.0.4}"
    tail = checks("{id: P1, from: one, do: {ping: {to: one}}, expect: ok, see: [{on: vpc1.app}]}")
    document = document_of(text_of(rows, tail))
    assert faults(document) == ["resources.vpc1.subnets.app: field `prefix` is missing: an IPv4 prefix"]


def test_what_stands_in_a_part_that_could_not_be_read_causes_no_second_fault() -> None:
    rows = "dc: {kind: sight, prefix: 172.16.0.0/24, hosts: {pc: 172.16.0.4}}"
    tail = checks("{id: P1, from: pc, do: {ping: {to: pc}}, expect: ok}")
    assert faults(document_of(text_of(rows, tail))) == ["resources.dc.kind: unknown kind"]


def test_a_check_that_could_not_be_read_still_counts_as_a_control() -> None:
    tail = checks(
        "{id: P1, from: pc, do: {ping: {two: pc}}, expect: ok}",
        "{id: N1, from: pc, do: {ping: {to: pc}}, expect: filtered, control: P1}",
    )
    document = document_of(text_of(NET + "pc: {kind: host, net: inet, address: 198.51.100.4}", tail))
    assert [fault.path for fault in document.reading.faults] == ["checks[0].do.ping.two"]


def test_a_check_that_stands_for_a_list_of_one_may_be_unreadable() -> None:
    text = b"lab: x\nresources: {}\nchecks: {id: P1, nonsense: 1, from: pc, do: {ping: {to: pc}}, expect: ok}\n"
    assert "checks.nonsense: unknown field" in faults(document_of(text))


def test_checks_are_read_though_the_head_is_wrong() -> None:
    text = b"lab: A B\nversion: 3\nnonsense: 1\nresources: {}\n" + checks("{id: P1, from: pc, do: {}}").encode()
    paths = [fault.path for fault in document_of(text).reading.faults]
    assert set(paths) == {"lab", "version", "nonsense", "checks[0].from", "checks[0].do", "checks[0]"}


def test_a_resource_does_not_shadow_a_check_of_its_name() -> None:
    tail = checks(
        "{id: pc, from: pc, do: {ping: {to: pc}}, expect: ok}",
        "{id: N1, from: pc, do: {ping: {to: pc}}, expect: filtered, control: pc}",
    )
    document = document_of(text_of(NET + "pc: {kind: host, net: inet, address: 198.51.100.4}", tail))
    assert faults(document) == ["checks[1].control: is a host; expected a check"]


def test_a_reason_is_given_where_people_are_likely_to_go_wrong() -> None:
    rows = (
        "power: {kind: power_workspace, subnets: {}}\n"
        "vpn: {kind: ipsec_connection, local: power, remote: power, "
        "selectors: {local: [10.0.0.0/8], remote: [172.16.0.0/12]}}"
    )
    reasons = {fault.hint for fault in document_of(text_of(rows)).reading.faults}
    assert reasons == {"a VPN cannot connect directly to Power Systems Virtual Server; end it on a gateway appliance"}


def test_the_head_is_kept() -> None:
    document = document_of(b"lab: x\nabout: words\ncites: one page\nresources: {}\n")
    assert (document.name, document.about, document.cites) == ("x", "words", ("one page",))
