from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface
from xml.etree.ElementTree import Element

import pytest
from report_lab import KINDS, network

from labctl.model.network import Network
from labctl.model.tunnels import GreEnd
from labctl.report.graph import graph_of
from labctl.report.markup import written
from labctl.report.picture import PAGE, Picture, draw


def texts(element: Element) -> list[str]:
    return [each.text or "" for each in element.iter("text")]


def drawn(picture: Picture) -> list[tuple[float, float, float, float]]:
    """The boxes: left, top, right, bottom."""
    shapes = list(picture.base.iter("rect"))
    return [
        (x, y, x + wide, y + high)
        for x, y, wide, high in (
            [float(each.get(key, "0")) for key in ("x", "y", "width", "height")] for each in shapes
        )
    ]


def backbone(vpcs: int, hosts: int) -> Network:
    net = Network()
    net.node("bb", forwards=True)
    for i in range(vpcs):
        net.node(f"vpc{i}", forwards=True)
        net.wire(f"vpc{i}", "bb")
        net.segment(f"vpc{i}.app")
        net.plug(f"vpc{i}", f"vpc{i}.app", IPv4Interface(f"10.{i}.0.1/24"))
        for j in range(hosts):
            net.node(f"vm{i}-{j}")
            net.plug(f"vm{i}-{j}", f"vpc{i}.app", IPv4Interface(f"10.{i}.0.{10 + j}/24"))
    net.node("alone")
    return net


def test_every_node_shows_its_name_kind_and_addresses_and_every_segment_its_prefix() -> None:
    shown = texts(draw(network(), KINDS, "dc-host").base)
    assert {"dc-host", "host", "172.16.10.10"} <= set(shown)
    assert {"gw", "vpn gateway", "198.51.100.10", "203.0.113.10", "10.0.1.2", "10.9.0.1"} <= set(shown)
    assert {"isp1", "198.51.100.0/24", "t1 ESP", "t2 ESP", "spare GRE"} <= set(shown)


@pytest.mark.parametrize(("vpcs", "hosts"), [(1, 1), (3, 4), (8, 6), (1, 40)])
def test_nothing_overlaps_in_a_picture_and_nothing_sticks_out(vpcs: int, hosts: int) -> None:
    picture = draw(backbone(vpcs, hosts), {}, "vm0-0")
    boxes = drawn(picture)
    assert len(boxes) == vpcs * (hosts + 2) + 2
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert min(left, top) >= 0
        assert right <= picture.width
        assert bottom <= picture.height
        assert all(right <= x or far <= left or bottom <= y or low <= top for x, y, far, low in boxes[:i])


def test_a_picture_is_turned_so_that_it_fits_the_page() -> None:
    long = Network()
    for i in range(9):
        long.node(f"router-number-{i}", forwards=True)
        if i:
            long.wire(f"router-number-{i - 1}", f"router-number-{i}")
    tall = draw(long, {}, "router-number-0")
    assert tall.width < PAGE < tall.height + PAGE / 3
    assert tall.height > tall.width
    assert draw(backbone(1, 40), {}, "vm0-0").width <= PAGE


def test_the_same_network_is_always_drawn_the_same() -> None:
    assert written(draw(network(), KINDS, "dc-host").whole("x")) == written(
        draw(network(), KINDS, "dc-host").whole("x")
    )


def test_a_link_is_found_by_both_places_at_which_it_is_captured() -> None:
    graph = graph_of(network(), KINDS, "dc-host")
    assert graph.places["cgw", "isp1"] == graph.places["isp1", "cgw"]
    assert graph.places["cgw", "t1"] == graph.places["gw", "t1"] != graph.places["gw", "t2"]
    assert graph.places["cgw", "spare"] == graph.places["gw", "spare"]


def test_what_was_seen_is_lit_and_nothing_else() -> None:
    picture = draw(network(), KINDS, "dc-host")
    lit = picture.lit("x", [("isp1", "cgw"), ("cgw", "isp1"), ("cgw", "t1"), ("nowhere", "eth0")])
    assert lit is not None
    lines = [each.get("d") for each in lit.iter("path") if each.get("class") == "lit"]
    assert lines == [picture.lines[picture.graph.places[place]] for place in (("isp1", "cgw"), ("cgw", "t1"))]
    assert picture.lit("x", [("nowhere", "eth0")]) is None


def test_a_tunnel_across_several_layers_has_a_lane_in_each() -> None:
    net = network()
    for node, ours, theirs in (("dc-host", 1, 2), ("server", 2, 1)):
        ends = IPv4Address(f"10.8.0.{ours}"), IPv4Address(f"10.8.0.{theirs}")
        net.gre(GreEnd(node, "far", *ends, IPv4Interface(f"10.7.0.{ours}/30"), 1476, True))
    graph = graph_of(net, KINDS, "dc-host")
    route = graph.routes[graph.places["server", "far"]]
    assert [graph.layers[part][1] for part in route.parts] == list(range(7))
    assert sum(bool(graph.parts[part].label) for part in route.parts[1:-1]) == 1


def test_a_tunnel_end_without_its_other_end_is_left_out() -> None:
    net = network()
    end = IPv4Interface("10.7.0.1/30")
    net.gre(GreEnd("dc-host", "dead", IPv4Address("10.8.0.1"), IPv4Address("10.8.0.2"), end, 1476, True))
    assert ("dc-host", "dead") not in graph_of(net, KINDS, "dc-host").places


def test_a_lab_without_nodes_is_drawn_empty() -> None:
    picture = draw(Network(), {}, "")
    assert picture.lines == () and not drawn(picture)
    assert re.search(r"viewBox=\"0 0 \d", written(picture.whole("empty")))


def test_a_member_of_an_overlay_has_one_line_to_it_also_where_it_is_plugged_in() -> None:
    net = Network()
    for name in ("edge1", "edge2"):
        net.node(name, forwards=True)
    net.overlay("transit", 530, {f"edge{i}": IPv4Address(f"10.1.0.{i}") for i in (1, 2)}, mtu=1400)
    device = net.plug("edge1", "transit", IPv4Interface("100.64.0.2/24"), host="edge1")
    graph = graph_of(net, {}, "edge1")
    [route] = [each for each in graph.routes if each.parts == ("edge1", "transit")]
    assert route.tip == f"edge1 {device} 100.64.0.2/24; edge1: Geneve, VNI 530, at 10.1.0.1"
    [tunnel] = [each.device for each in net.overlays["transit"].tunnels() if each.node == "edge1"]
    assert graph.routes[graph.places["edge1", device]] == graph.routes[graph.places["edge1", tunnel]] == route
    assert len(graph.routes) == 2
    assert (graph.parts["transit"].kind, "VNI 530" in graph.parts["transit"].lines) == ("overlay", True)


def test_lines_leave_a_box_in_the_order_of_their_far_ends() -> None:
    net = backbone(3, 6)
    for i in range(6):
        net.wire(f"vm1-{i}", f"vm2-{5 - i}")
    picture = draw(net, {}, "vm0-0")
    for segment in ("vpc1.app", "vpc2.app"):
        numbers = [i for i, route in enumerate(picture.graph.routes) if route.parts[-1] == segment]
        points = [re.findall(r"[-\d.]+", picture.lines[i]) for i in numbers]
        ends = sorted((float(each[1]), float(each[-1])) for each in points if each[0] > each[-2])
        assert len(ends) >= 6
        assert [here for _, here in ends] == sorted(here for _, here in ends)
