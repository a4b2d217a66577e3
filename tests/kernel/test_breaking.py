"""Faults as drills use them: felt as their names say, noted while they last, and without a trace after the repair."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

import pytest
from fault_lab import Stream, eventually, opened, state
from kernel_lab import Lab, route
from test_xfrm import tunnel

from labctl.breaking import Breaker
from labctl.errors import KernelError, LabError, StateError
from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths
from labctl.model.services import Listen, PathWatcher, Server, WatchedPath
from labctl.plan.faults import Blackhole, Degrade, Drop, Fault, Flap, Freeze, Kill, LinkDown, Port, Rekey
from labctl.plan.objects import Process, Ruleset, Shaper, XfrmState
from labctl.services import processes
from labctl.services.linkwatch import LinkWatch
from labctl.services.supervisor import Keeper, start

PORT = Port("right", "eth0")
SERVER = Process("right", "server", Server("right", (Listen("tcp", 8080),)))


@pytest.fixture
def keeper(paths: Paths) -> Iterator[Keeper]:
    """A running supervisor of the lab `t`."""
    paths.root.mkdir(parents=True, exist_ok=True)
    start(paths)
    keeper = Keeper(paths)
    yield keeper
    keeper.shutdown()


@pytest.fixture
def breaker(lab: Lab) -> Breaker:
    return Breaker(lab.paths, lab.keys)


def test_a_flap_is_felt_each_time_and_over_on_return(pair: Lab, breaker: Breaker) -> None:
    pair.make(route("right", "192.0.2.0/24", via="10.0.0.1"))
    before = state(pair, "left", "right")
    with enter(pair.paths.namespace("left")):
        watch = LinkWatch()
        index = socket.if_nametoindex("eth0")
    assert dict(watch.changes())[index], "from here on only changes are told"
    fault = Flap((PORT,), times=3, down_ms=60, up_ms=40)
    struck = breaker.inject(fault)
    took_ms = time.monotonic() * 1000 - struck.before_ms
    carrier = [True, *(has for each, has in watch.changes() if each == index)]
    watch.socket.close()
    assert sum(a and not b for a, b in pairwise(carrier)) == 3
    assert took_ms >= 3 * 60 + 2 * 40
    assert struck.after_ms - struck.before_ms < 60, "the instants are those of the first fall"
    breaker.repair(fault)
    assert state(pair, "left", "right") == before


def test_an_interrupted_flap_is_repaired_by_its_note(pair: Lab, breaker: Breaker) -> None:
    pair.make(route("right", "192.0.2.0/24", via="10.0.0.1"))
    before = state(pair, "left", "right")
    fault = Flap((PORT,), times=1, down_ms=86_400_000, up_ms=0)
    threading.Thread(target=breaker.inject, args=(fault,), daemon=True).start()
    eventually(lambda: "NO-CARRIER" in pair.device("left", "eth0")["flags"])
    later = Breaker(pair.paths, {})
    assert later.leftover() == (fault,)
    later.repair(fault)
    assert state(pair, "left", "right") == before


# -- drop


@pytest.mark.needs("budget")
@pytest.mark.parametrize("packets", [1, 300])
def test_a_drop_under_a_fast_stream_loses_just_so_many_and_says_so(pair: Lab, breaker: Breaker, packets: int) -> None:
    before = state(pair, "left", "right")
    fault = Drop((PORT,), packets, "udp")
    stream = Stream(pair, "left", "right", "10.0.0.2")
    eventually(lambda: stream.arrived_since(0) > 100)
    assert breaker.inject(fault).dropped == 0
    time.sleep(1.5)
    struck = breaker.repair(fault)
    time.sleep(0.2)
    lost = stream.stop()
    assert struck.dropped == packets
    assert lost == list(range(lost[0], lost[0] + packets)), "the first that came, one after the other"
    assert state(pair, "left", "right") == before


@pytest.mark.needs("budget")
def test_a_drop_of_a_slow_stream_is_as_exact(pair: Lab, breaker: Breaker) -> None:
    fault = Drop((PORT,), 20, "icmp")
    breaker.inject(fault)
    assert pair.ping("left", "10.0.0.2", "-i0.1", "-W0.1", count=30) == 10
    assert breaker.repair(fault).dropped == 20


@pytest.mark.needs("budget")
def test_a_drop_counts_all_its_ports_together_and_other_protocols_not(pair: Lab, breaker: Breaker) -> None:
    fault = Drop((PORT, Port("left", "eth0")), 4, "icmp")
    breaker.inject(fault)
    stream = Stream(pair, "left", "right", "10.0.0.2", rate=100)
    assert pair.ping("left", "10.0.0.2", count=10) == 6
    assert not stream.stop()
    assert breaker.repair(fault).dropped == 4


@pytest.mark.needs("budget")
def test_a_drop_that_has_not_seen_enough_says_how_many(pair: Lab, breaker: Breaker) -> None:
    fault = Drop((PORT,), 5)
    pair.ping("left", "10.0.0.2")
    breaker.inject(fault)
    pair.ping("left", "10.0.0.2", "-W0.1", count=2)
    assert breaker.repair(fault).dropped == 2


@pytest.mark.needs("budget")
def test_a_drop_is_repaired_by_a_later_process_which_does_not_claim_to_know(pair: Lab, breaker: Breaker) -> None:
    before = state(pair, "left", "right")
    fault = Drop((PORT,), 1000, "icmp")
    breaker.inject(fault)
    assert pair.ping("left", "10.0.0.2", count=1) == 0
    later = Breaker(pair.paths, {})
    assert later.repair(later.leftover()[0]).dropped is None
    assert pair.ping("left", "10.0.0.2") == 3
    assert state(pair, "left", "right") == before


# -- degrade


@pytest.mark.needs("netem")
def test_a_degraded_link_is_slower_and_lossy_and_then_as_before(pair: Lab, breaker: Breaker) -> None:
    usual = Shaper("left", "eth0", 20.0, 1.0)
    pair.make(usual)
    before = state(pair, "left", "right")
    worse = replace(usual, delay_ms=80.0), Shaper("right", "eth0", 60.0, loss_percent=100.0)
    fault = Degrade((usual,), worse)
    breaker.inject(fault)
    assert pair.ping("left", "10.0.0.2", count=1) == 0
    assert "delay 80ms" in pair.run("left", "tc", "qdisc").replace(".0ms", "ms")
    breaker.repair(fault)
    assert pair.ping("left", "10.0.0.2", count=1) == 1
    assert state(pair, "left", "right") == before
    breaker.repair(fault)
    assert state(pair, "left", "right") == before


@pytest.mark.needs("netem")
def test_what_is_under_way_when_a_degraded_link_is_repaired_arrives(pair: Lab, breaker: Breaker) -> None:
    fault = Degrade((), (Shaper("left", "eth0", 300.0),))
    stream = Stream(pair, "left", "right", "10.0.0.2")
    eventually(lambda: stream.arrived_since(0) > 100)
    breaker.inject(fault)
    time.sleep(0.6)
    struck = breaker.repair(fault)
    assert struck.after_ms - struck.before_ms < 200, "the instants are those of the change, not of the wait after it"
    time.sleep(0.2)
    assert stream.stop() == []


@pytest.mark.needs("netem")
def test_the_speed_of_a_degraded_link_is_not_forgotten(pair: Lab, breaker: Breaker) -> None:
    usual = Shaper("left", "eth0", rate_bit=1_000_000)
    pair.make(usual)
    before = state(pair, "left", "right")
    fault = Degrade((usual,), (replace(usual, delay_ms=50.0),))
    breaker.inject(fault)
    queues = pair.run("left", "tc", "qdisc")
    assert "netem" in queues
    assert "rate 1Mbit" in queues
    breaker.repair(fault)
    assert state(pair, "left", "right") == before


# -- programs and nodes


def greeted(lab: Lab) -> bool:
    """Whether the test server at `right` says its name."""
    with opened(lab, "left", socket.SOCK_STREAM) as client:
        client.settimeout(0.3)
        try:
            client.connect(("10.0.0.2", 8080))
            return bool(client.recv(100))
        except OSError:
            return False


def test_a_killed_program_dies_at_once_and_is_started_anew(pair: Lab, keeper: Keeper, breaker: Breaker) -> None:
    keeper.start(SERVER)
    first = keeper.status()[0]
    fault = Kill((SERVER,))
    breaker.inject(fault)
    assert processes.wait_gone(processes.Identity(first.pid, 0), time.monotonic() + 2)
    eventually(lambda: "SIGKILL" in keeper.status()[0].detail)
    assert not greeted(pair)
    assert pair.ping("left", "10.0.0.2") == 3, "the node goes on without its program"
    breaker.repair(fault)
    assert greeted(pair)
    assert keeper.status()[0].pid != first.pid


def test_a_killed_node_says_no_farewell_and_comes_back_with_its_routes(
    pair: Lab, keeper: Keeper, breaker: Breaker
) -> None:
    pair.make(route("right", "192.0.2.0/24", via="10.0.0.1"))
    keeper.start(SERVER)
    before = state(pair, "left", "right")
    fault = Kill((SERVER,), (PORT,))
    with opened(pair, "left", socket.SOCK_STREAM) as client:
        client.settimeout(0.5)
        client.connect(("10.0.0.2", 8080))
        assert client.recv(100)
        breaker.inject(fault)
        assert "NO-CARRIER" in pair.device("left", "eth0")["flags"]
        with pytest.raises(TimeoutError):
            client.recv(100)
    breaker.repair(fault)
    eventually(lambda: greeted(pair))
    eventually(lambda: state(pair, "left", "right") == before)
    breaker.repair(fault)
    assert state(pair, "left", "right") == before


@pytest.mark.needs("iptables")
def test_a_killed_router_forgets_its_connections(pair: Lab, keeper: Keeper, breaker: Breaker) -> None:
    tracked = ("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",)
    pair.make(Ruleset("right", (("filter", tracked),)))
    pair.ping("left", "10.0.0.2", count=1)
    assert connections(pair) > 0
    breaker.inject(Kill((), (PORT,)))
    assert connections(pair) == 0
    breaker.repair(Kill((), (PORT,)))


def connections(lab: Lab) -> int:
    return int(lab.run("right", "cat", "/proc/sys/net/netfilter/nf_conntrack_count"))


def watcher(node: str, mine: str, other: str) -> Process:
    ends = IPv4Address(mine), IPv4Address(other)
    path = WatchedPath("p", "eth0", "eth0", *ends, 50, 3, (IPv4Network("192.0.2.0/24"),), 10)
    return Process(node, "watcher", PathWatcher((path,)))


@pytest.mark.needs("drop")
def test_a_frozen_node_falls_silent_with_its_carrier_and_goes_on_after(
    pair: Lab, keeper: Keeper, breaker: Breaker
) -> None:
    keeper.start(SERVER)
    before, pid = state(pair, "left", "right"), keeper.status()[0].pid
    fault = Freeze((SERVER,), (PORT,))
    breaker.inject(fault)
    assert pair.ping("left", "10.0.0.2", count=1) == 0
    assert pair.device("left", "eth0")["operstate"] == "UP"
    assert "T" in pair.run("right", "ps", "-o", "stat=", "-p", str(pid))
    later = Breaker(pair.paths, {})
    later.repair(later.leftover()[0])
    assert "T" not in pair.run("right", "ps", "-o", "stat=", "-p", str(pid))
    eventually(lambda: greeted(pair))
    assert keeper.status()[0].pid == pid
    assert state(pair, "left", "right") == before


def test_a_frozen_program_leaves_its_node_to_itself(pair: Lab, keeper: Keeper, breaker: Breaker) -> None:
    keeper.start(SERVER)
    fault = Freeze((SERVER,))
    breaker.inject(fault)
    assert not greeted(pair)
    assert pair.ping("left", "10.0.0.2") == 3
    breaker.repair(fault)
    assert greeted(pair)


def test_a_watcher_that_was_killed_begins_without_its_routes(pair: Lab, keeper: Keeper, breaker: Breaker) -> None:
    near, far = watcher("left", "10.0.0.1", "10.0.0.2"), watcher("right", "10.0.0.2", "10.0.0.1")
    keeper.start(near)
    keeper.start(far)
    eventually(lambda: "192.0.2.0/24" in pair.run("left", "ip", "route"))
    kill = Kill((near,))
    breaker.inject(kill)
    keeper.stop(far)
    assert "192.0.2.0/24" in pair.run("left", "ip", "route"), "nobody is left to take them away"
    breaker.repair(kill)
    assert "192.0.2.0/24" not in pair.run("left", "ip", "route")


# -- rekey


def rekey_of(lab: Lab, cipher: str) -> Rekey:
    old = tuple(each for each in tunnel(lab, cipher) if isinstance(each, XfrmState))
    fresh = tuple(replace(each, spi=each.spi | 0x8000_0000, key=f"{each.key}.fresh") for each in old)
    return Rekey(old, fresh)


def spis(lab: Lab, wait_s: float = 0.1) -> set[int]:
    """The SPIs on the wire between the gateways."""
    taps = [lab.tap("wan", "wa"), lab.tap("wan", "wb")]
    found = {int.from_bytes(each[20:24], "big") for tap in taps for each in tap.packets(wait_s) if each[9] == 50}
    for tap in taps:
        tap.close()
    return found


@pytest.mark.needs("esp", "xfrm-interface")
@pytest.mark.parametrize("cipher", ["aes256-gcm", "aes256-cbc-sha256"])
def test_rekeying_under_a_fast_stream_loses_nothing_and_goes_back(wan: Lab, breaker: Breaker, cipher: str) -> None:
    fault = rekey_of(wan, cipher)
    breaker = Breaker(wan.paths, wan.keys)
    before = state(wan, "gwa", "gwb")
    there = Stream(wan, "a", "b", "10.2.0.2")
    back = Stream(wan, "b", "a", "10.1.0.2")
    eventually(lambda: there.arrived_since(0) > 200 and back.arrived_since(0) > 200)
    assert spis(wan) == {0x1001, 0x1002}
    breaker.inject(fault)
    assert spis(wan) == {0x8000_1001, 0x8000_1002}
    assert len(state(wan, "gwa")["gwa"]["associations"]) == len(before["gwa"]["associations"]), "the old ones are gone"
    breaker.repair(fault)
    assert spis(wan) == {0x1001, 0x1002}
    assert there.stop() == []
    assert back.stop() == []
    assert state(wan, "gwa", "gwb") == before


@pytest.mark.needs("esp", "xfrm-interface")
def test_a_later_process_takes_a_rekeying_back_without_the_fresh_keys(wan: Lab) -> None:
    fault = rekey_of(wan, "aes256-gcm")
    before = state(wan, "gwa", "gwb")
    wan.ping("a", "10.2.0.2")
    Breaker(wan.paths, wan.keys).inject(fault)
    later = Breaker(wan.paths, wan.keys)
    later.repair(later.leftover()[0])
    assert wan.ping("a", "10.2.0.2") == 3
    assert state(wan, "gwa", "gwb") == before


@pytest.mark.needs("esp", "xfrm-interface")
def test_a_rekeying_that_broke_off_is_taken_back_without_replays(wan: Lab) -> None:
    fault = rekey_of(wan, "aes256-gcm")
    before = state(wan, "gwa", "gwb")
    assert wan.ping("a", "10.2.0.2", "-i0.002", count=100) == 100
    # As if it had ended just after the old senders were taken away: the old receivers have seen 100 packets.
    wan.unmake(*(each for each in fault.old if (each.namespace, each.spi) in (("gwa", 0x1001), ("gwb", 0x1002))))
    assert wan.ping("a", "10.2.0.2", "-W0.2", count=1) == 0
    Breaker(wan.paths, wan.keys).repair(fault)
    assert wan.ping("a", "10.2.0.2") == 3
    assert state(wan, "gwa", "gwb") == before


def test_fresh_keys_are_not_written_down(wan: Lab) -> None:
    old = XfrmState("gwa", IPv4Address("198.51.100.2"), IPv4Address("203.0.113.2"), 1, "aes256-gcm", "k", 1)
    fault = Rekey((old,), (replace(old, spi=2, key="k.fresh"),))
    breaker = Breaker(wan.paths, {"k": bytes(range(36))})
    with suppress(LabError):  # a kernel without ESP refuses it, with the note already written
        breaker.inject(fault)
    written = b"".join(each.read_bytes() for each in wan.paths.root.iterdir() if each.is_file())
    assert b"k.fresh" in written
    assert not any(len(word) >= 40 and all(c in b"0123456789abcdef" for c in word) for word in written.split(b'"'))


# -- notes


def test_a_fault_is_noted_before_it_is_in_and_until_it_is_out(pair: Lab, breaker: Breaker) -> None:
    bad = LinkDown((Port("right", "eth9"),))
    with pytest.raises(KernelError, match="eth9 in right"):
        breaker.inject(bad)
    assert breaker.leftover() == (bad,)
    good = LinkDown((PORT,))
    breaker.inject(good)
    assert set(Breaker(pair.paths, {}).leftover()) == {bad, good}
    breaker.repair(good)
    assert breaker.leftover() == (bad,)


def test_a_repair_does_what_it_can_and_tells_of_all_that_it_cannot(pair: Lab, breaker: Breaker) -> None:
    fault = LinkDown((Port("right", "eth8"), PORT, Port("nowhere", "eth0")))
    breaker.inject(LinkDown((PORT,)))
    with pytest.raises(StateError, match=r"eth8.*; .*nowhere"):
        breaker.repair(fault)
    assert pair.ping("left", "10.0.0.2", "-W3", count=1) == 1


def test_a_damaged_note_is_told_with_the_way_out(pair: Lab, breaker: Breaker) -> None:
    (pair.paths.root / "broken.json").write_text("[{")
    with pytest.raises(StateError) as caught:
        breaker.leftover()
    assert caught.value.hint == "labctl down t"


@pytest.mark.needs("drop", "netem", "budget")
@pytest.mark.parametrize(
    "fault",
    [
        LinkDown((PORT,)),
        Flap((PORT,), 1, 1, 1),
        Blackhole((PORT,), "udp"),
        Drop((PORT,), 3),
        Degrade((), (Shaper("right", "eth0", 5.0),)),
        Kill((), (PORT,)),
        Freeze((), (PORT,)),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_repair_without_a_fault_and_a_second_one_change_nothing(pair: Lab, breaker: Breaker, fault: Fault) -> None:
    before = state(pair, "left", "right")
    breaker.repair(fault)
    assert state(pair, "left", "right") == before
    breaker.inject(fault)
    struck = breaker.repair(fault)
    assert struck.before_ms <= struck.after_ms
    breaker.repair(fault)
    assert state(pair, "left", "right") == before
