"""A plain network, of routers, hosts, links and a bridge: checks hold on it, and its links can be broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kernels import full_kernel, time_scale

from labctl.cli.files import read
from labctl.cli.where import lacking
from labctl.shapes import SHAPES, describe_shape, shape

pytestmark = pytest.mark.e2e

LAB = """
lab: plain-e2e
resources:
  h1: {kind: host, routes: {0.0.0.0/0: 10.1.0.1}}
  h2: {kind: host, routes: {0.0.0.0/0: 10.2.0.1}, serves: [tcp/80]}
  r1: {kind: router, routes: {0.0.0.0/0: 10.0.0.2}}
  r2: {kind: router, routes: {10.1.0.0/24: 10.0.0.1, 10.2.0.0/24: 10.0.1.2}}
  r3: {kind: router, routes: {10.1.0.0/24: 10.0.1.1, 10.2.0.0/24: 10.0.2.2}}
  r4: {kind: router, loopback: 10.255.0.4, routes: {0.0.0.0/0: 10.0.2.1}}
  h1-r1: {kind: link, ends: {h1: 10.1.0.2/24, r1: 10.1.0.1/24}}
  r1-r2: {kind: link, ends: {r1: 10.0.0.1/30, r2: 10.0.0.2/30}}
  r2-r3: {kind: link, ends: {r2: 10.0.1.1/30, r3: 10.0.1.2/30}, mtu: 1400}
  r2-r3-too: {kind: link, ends: {r2: 10.0.9.1/30, r3: 10.0.9.2/30}}
  r3-r4: {kind: link, ends: {r3: 10.0.2.1/30, r4: 10.0.2.2/30}}
  lan: {kind: bridge, plugs: {r4: 10.2.0.1/24, h2: 10.2.0.2/24}}
checks:
  - id: PING
    about: a ping crosses the four routers, by the first of the two links
    from: h1
    do: {ping: {to: h2}}
    expect: ok
    see: [{on: r2-r3}, {on: lan}]
    silent: [{on: r2-r3-too}]
  - id: TRACE
    about: each router answers in its turn
    from: h1
    do: {trace: {to: h2}}
    expect: {ok: {hops: [r1, r2, r3, r4, h2]}}
  - {id: TCP, about: a server answers, from: h1, do: {tcp: {to: h2, port: 80}}, expect: {ok: {source: 10.1.0.2}}}
  - id: BIG
    about: the narrow link says how much it takes
    from: h1
    do: {ping: {to: h2, size: 1400, df: true}}
    expect: {too_big: {mtu: 1400, by: r2}}
    control: FITS
  - {id: FITS, about: that much passes, from: h1, do: {ping: {to: h2, size: 1372, df: true}}, expect: ok}
"""

DRILLS = """
drills:
  - id: DOWN
    about: the routes of a link are there again after its repair
    during: TCP
    fault: {link_down: r2-r3}
    for: 300ms
    bounds: {restore: 1s, after: repair, gap: 3s}
  - id: SILENT
    about: what either end sends is lost
    during: TCP
    fault: {blackhole: {link: r2-r3}}
    for: 300ms
    bounds: {restore: 1s, after: repair, gap: 3s}
  - id: HALF
    about: what one end sends is lost
    during: TCP
    fault: {one_way: {link: r2-r3, source: r2}}
    for: 300ms
    bounds: {restore: 1s, after: repair, gap: 3s}
"""

CHANGES = """
changes:
  - id: MOVE
    about: traffic moves to the second link, and nobody notices
    during: TCP
    set:
      r2.routes: {10.1.0.0/24: 10.0.0.1, 10.2.0.0/24: 10.0.9.2}
      r3.routes: {10.1.0.0/24: 10.0.9.1, 10.2.0.0/24: 10.0.2.2}
    bounds: {lost: 0}
    before: {see: [{on: r2-r3}], silent: [{on: r2-r3-too}]}
    changed: {see: [{on: r2-r3-too}], silent: [{on: r2-r3, longer: 100}]}
  - id: ADD
    about: another router comes with its link
    during: TCP
    add:
      r5: {kind: router, loopback: 10.255.0.5, routes: {0.0.0.0/0: 10.0.5.1}}
      r4-r5: {kind: link, ends: {r4: 10.0.5.1/30, r5: 10.0.5.2/30}}
      r2.routes: {10.255.0.5/32: 10.0.1.2}
      r3.routes: {10.255.0.5/32: 10.0.2.2}
      r4.routes: {10.255.0.5/32: 10.0.5.2}
    bounds: {lost: 0, reach: 3s}
    then:
      - {id: NEW, about: it is reached, from: h1, do: {ping: {to: 10.255.0.5}}, expect: ok}
"""


def proved(text: str, tmp_path: Path, engine: str) -> dict[str, str]:
    """The verdict on everything that `text` claims."""
    file = tmp_path / "lab.yaml"
    file.write_text(text)
    options = ["--json", "--on", engine, "--evidence", str(tmp_path / "evidence")]
    command = [sys.executable, "-m", "labctl", "run", str(file), *options, "--time-scale", str(time_scale(engine))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout[:1] == "{", done.stdout + done.stderr
    data = json.loads(done.stdout)
    return {each["id"]: each["verdict"] for part in ("checks", "drills", "changes") for each in data[part]}


def engine_for(text: str, tmp_path: Path) -> str:
    """The machine's own kernel where it has all that a lab needs."""
    file = tmp_path / "needs.yaml"
    file.write_text(text)
    return full_kernel() if lacking(read(str(file))) else "host"


def test_a_chain_of_four_routers_passes_ping_trace_and_tcp(tmp_path: Path) -> None:
    found = proved(LAB, tmp_path, engine_for(LAB, tmp_path))
    assert found == dict.fromkeys(("PING", "TRACE", "TCP", "BIG", "FITS"), "pass")


def test_the_links_of_a_plain_network_can_be_broken_and_repaired(tmp_path: Path) -> None:
    found = proved(LAB + DRILLS, tmp_path, engine_for(LAB + DRILLS, tmp_path))
    assert {word: found[word] for word in ("DOWN", "SILENT", "HALF")} == dict.fromkeys(
        ("DOWN", "SILENT", "HALF"), "pass"
    )


def test_a_plain_network_may_change_under_traffic(tmp_path: Path) -> None:
    found = proved(LAB + CHANGES, tmp_path, engine_for(LAB, tmp_path))
    assert {word: found[word] for word in ("MOVE", "ADD")} == dict.fromkeys(("MOVE", "ADD"), "pass")


@pytest.mark.parametrize("name", SHAPES)
def test_what_the_generator_writes_proves_itself(name: str, tmp_path: Path) -> None:
    text = describe_shape(name, shape(name, 9), f"plain-{name}")
    assert proved(text, tmp_path, engine_for(text, tmp_path)) == {"P1": "pass"}
