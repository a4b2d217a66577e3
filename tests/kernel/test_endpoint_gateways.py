"""Sessions through endpoint gateways, while their addresses come and go and their ports run out."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator

import pytest
from live_lab import Live

from labctl.kernel.paths import Paths

pytestmark = pytest.mark.needs("iptables")
SERVICE = 443
READY_S = 10.0


@pytest.fixture
def live(paths: Paths, request: pytest.FixtureRequest) -> Iterator[Live]:
    lab = Live(paths, request.param)
    yield lab
    lab.end()


def topology(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("live", [name], indirect=True, ids=[""])


def opened(live: Live, node: str, address: str, wait_s: float = 3.0) -> socket.socket:
    """A connection to the service at a reserved address, its greeting heard."""
    client = live.socket(node, socket.SOCK_STREAM)
    client.settimeout(wait_s)
    try:
        client.connect((address, SERVICE))
        greeting = client.recv(100)
    except OSError:
        client.close()
        raise
    assert greeting.startswith(b"labctl kms")
    return client


def is_alive(client: socket.socket) -> bool:
    """Whether the service still hears the client, and the client it: it says goodbye."""
    client.sendall(b"still here")
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1.0)
    try:
        return b"sha256" in client.recv(200)
    except OSError:
        return False


@topology("vpe-multizone")
def test_a_session_outlives_the_unbinding_of_other_zones_and_not_that_of_its_own(live: Live) -> None:
    with opened(live, "vsi1", "10.240.0.9") as untouched, opened(live, "vsi3", "10.240.128.9") as ended:
        with live.under("remove: [vpegw.ips.z2, vpegw.ips.z3]"):
            pass
        assert is_alive(untouched)
        assert not is_alive(ended)
    assert is_alive(opened(live, "vsi3", "10.240.128.9"))


@topology("vpe-multizone")
def test_every_leg_answers_whom_it_was_asked_by(live: Live) -> None:
    for node in ("vsi1", "vsi2", "vsi3"):
        for address in ("10.240.0.9", "10.240.64.9", "10.240.128.9"):
            with opened(live, node, address) as client:
                assert is_alive(client)


@topology("vpe-subnet")
def test_ports_run_out_and_are_free_again_once_connections_are_closed(live: Live) -> None:
    with live.under("set: {vpegw-a.snat_ports: 40000-40003}"):
        held = [opened(live, "vsi1", "10.240.0.9") for _ in range(4)]
        with pytest.raises(TimeoutError):
            opened(live, "vsi1", "10.240.0.9", 1.0)
        assert all(map(is_alive, held))
        for each in held:
            each.close()
        until = time.monotonic() + READY_S
        while (again := opened_if_possible(live)) is None:
            assert time.monotonic() < until
        again.close()


def opened_if_possible(live: Live) -> socket.socket | None:
    try:
        return opened(live, "vsi1", "10.240.0.9", 0.5)
    except TimeoutError:
        return None


@topology("vpe-subnet")
def test_a_rule_that_is_taken_away_counts_for_new_connections_alone(live: Live) -> None:
    with opened(live, "vsi1", "10.240.0.10") as held:
        with live.under("set: {sg-b.rules: []}"), pytest.raises(TimeoutError):
            opened(live, "vsi1", "10.240.0.10", 1.0)
        assert is_alive(held)


def code(live: Live, node: str, address: str, port: int) -> int:
    """What becomes of a connection: EAGAIN for silence."""
    with live.socket(node, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        return client.connect_ex((address, port))


@topology("vpe-subnet")
def test_an_instance_with_a_group_lets_in_what_it_allows_and_answers_to_what_it_asked(live: Live) -> None:
    group = "{kind: security_group, targets: [vsi1], rules: [{dir: outbound, proto: tcp, port: 443}]}"
    assert live.connects("web1", "10.240.0.4", 8080)
    assert code(live, "vsi1", "10.240.0.9", 8443) == errno.ECONNREFUSED
    with live.under(f"add: {{sg-1: {group}}}"):
        assert not live.connects("web1", "10.240.0.4", 8080)
        assert is_alive(opened(live, "vsi1", "10.240.0.9"))
        assert code(live, "vsi1", "10.240.0.9", 8443) == errno.EAGAIN
    assert live.connects("web1", "10.240.0.4", 8080)
