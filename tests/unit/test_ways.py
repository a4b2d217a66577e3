"""From the instants at which numbered packets passed the taps to the ways that they went."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from labctl.probes.packets import ARPHRD_ETHER
from labctl.probes.ways import NUMBER, Track, ways
from labctl.probes.wire import Way

MARKER = b"labctl:stream:0011223344556677"
ARPHRD_IPGRE = 778
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OUT, IN = True, False


def frame(number: int, *, ttl: int = 64, marker: bytes = MARKER, options: bytes = b"") -> bytes:
    head = IP(src="10.0.0.1", dst="10.0.0.2", ttl=ttl, ihl=5 + len(options) // 4, options=options)
    return bytes(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / head
        / UDP(sport=1, dport=2)
        / Raw(NUMBER.pack(number) + marker)
    )


def track(*passings: tuple[int, int, bool] | tuple[int, int, bool, int]) -> Track:
    """A track of (number, instant, whether it left[, TTL])."""
    made = Track(MARKER, ARPHRD_ETHER)
    for number, at, leaving, *ttl in passings:
        made.take(frame(number, ttl=ttl[0] if ttl else 64), at, leaving)
    return made


def test_a_way_is_in_the_order_of_the_instants_whatever_the_order_of_the_taps() -> None:
    tracks = [("b/in", track((0, 30, IN))), ("a/out", track((0, 10, OUT))), ("r/l", track((0, 20, IN)))]
    assert ways(tracks, [0]) == (Way(0, 0, 1, ("a/out", "r/l", "b/in")),)


def test_packets_of_one_way_are_one_run_and_those_lost_between_them_do_not_end_it() -> None:
    near = track(*((i, 10 * i, OUT) for i in range(6)))
    one = track(*((i, 10 * i + 1, IN) for i in (0, 1, 4)))
    other = track((5, 51, IN))
    found = ways([("a/e", near), ("b/x", one), ("b/y", other)], [0, 1, 4, 5])
    assert found == (Way(0, 4, 3, ("a/e", "b/x")), Way(5, 5, 1, ("a/e", "b/y")))


def test_a_way_that_comes_back_is_a_run_of_its_own() -> None:
    one = track((0, 0, IN), (2, 20, IN))
    other = track((1, 10, IN))
    assert [way.places for way in ways([("x", one), ("y", other)], range(3))] == [("x",), ("y",), ("x",)]


def test_only_packets_that_arrived_have_a_way_and_each_has_one() -> None:
    assert ways([("x", track((0, 0, IN), (1, 1, IN), (2, 2, IN)))], [2, 0, 2]) == (Way(0, 2, 2, ("x",)),)


def test_a_packet_that_nobody_saw_has_a_way_without_places() -> None:
    assert ways([("x", track((0, 0, IN)))], [0, 1]) == (Way(0, 0, 1, ("x",)), Way(1, 1, 1, ()))


def test_a_place_passed_in_and_out_again_is_one_place() -> None:
    hairpin = track((0, 10, IN), (0, 20, OUT))
    assert ways([("a", track((0, 0, OUT))), ("r", hairpin), ("b", track((0, 30, IN)))], [0])[0].places == (
        "a",
        "r",
        "b",
    )


def test_copies_of_a_packet_do_not_lengthen_its_way() -> None:
    tracks = [("a", track((0, 0, OUT), (0, 5, OUT))), ("b", track((0, 1, IN), (0, 6, IN)))]
    assert ways(tracks, [0]) == (Way(0, 0, 1, ("a", "b")),)


def test_a_packet_that_goes_round_in_a_circle_shows_it() -> None:
    one = track((0, 0, IN, 64), (0, 20, IN, 62))
    other = track((0, 10, IN, 63))
    assert ways([("x", one), ("y", other)], [0])[0].places == ("x", "y", "x")


def test_numbers_that_were_overtaken_are_found_in_every_track() -> None:
    shuffled = track((1, 11, IN), (0, 12, IN), (3, 13, IN), (2, 14, IN))
    near = track(*((i, i, OUT) for i in range(4)))
    assert ways([("b", shuffled), ("a", near)], [1, 0, 3, 2]) == (Way(0, 3, 4, ("a", "b")),)


def test_instants_that_are_equal_take_their_order_from_a_packet_whose_instants_differ() -> None:
    a = track((0, 100, IN), (1, 200, IN), (2, 300, IN))
    b = track((0, 100, IN), (1, 199, IN), (2, 300, IN))
    assert ways([("a", a), ("b", b)], range(3)) == (Way(0, 2, 3, ("b", "a")),)


def test_instants_that_are_always_equal_have_a_fixed_order_in_which_leaving_comes_first() -> None:
    tracks = [("far", track((0, 100, IN))), ("near", track((0, 100, OUT)))]
    assert ways(tracks, [0])[0].places == ("near", "far")
    assert ways(tracks[::-1], [0])[0].places == ("near", "far")


def test_what_is_not_of_the_stream_is_left_out() -> None:
    made = Track(MARKER, ARPHRD_ETHER)
    for data in (frame(7, marker=b"another-stream:0011223344556677"), frame(7)[:60], frame(7)[:40]):
        made.take(data, 1, IN)
    assert not made.numbers


def test_the_number_is_found_behind_ip_options_and_without_a_link_header() -> None:
    made = Track(MARKER, ARPHRD_ETHER)
    made.take(frame(2**40, options=b"\x94\x04\x00\x00"), 1, IN)
    bare = Track(MARKER, ARPHRD_IPGRE)
    bare.take(frame(2**63 + 5)[14:], 1, IN)
    assert (list(made.numbers), list(bare.numbers)) == ([2**40], [2**63 + 5])


def test_a_packet_takes_18_bytes_of_a_track() -> None:
    made = track(*((i, i, IN) for i in range(5)))
    columns = (made.numbers, made.instants, made.hop_limits, made.leaving)
    assert [len(column) for column in columns] == [5] * 4
    assert sum(len(bytes(column)) for column in columns) == 5 * 18
