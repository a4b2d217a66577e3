"""Name servers of others, and labctl's, each configured for the same names and running on one address."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from labctl.codec import encode
from labctl.model.services import Forward, Record, Resolver, Zone
from labctl.plan.objects import Process

TOP = Path(__file__).resolve().parents[2]
ZONE = "bench.test"
ADDRESSES = {f"h{n}.{ZONE}": f"10.{n // 250}.{n % 250}.1" for n in range(1000)}
NAMES = tuple(ADDRESSES)
TTL = 3600
_READY_S = 20.0
_INPUT = "input"


@dataclass(frozen=True)
class Server:
    """A program. `start` gives its command for an address, the server to forward to or "", and a folder of its own."""

    name: str
    program: str
    start: Callable[[str, str, Path], list[str]]


@dataclass(frozen=True)
class Running:
    """One that serves."""

    name: str
    address: str
    process: subprocess.Popen[bytes]

    def processor_s(self) -> float:
        """Seconds of processor time that it has had."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def labctl(address: str, origin: str, place: Path) -> list[str]:
    """The resolver as `up` would start it."""
    zone = Zone(ZONE, tuple(Record(name, "A", each, TTL) for name, each in ADDRESSES.items()))
    forwards = (Forward("", (IPv4Address(origin),)),) if origin else ()
    config = Resolver((IPv4Address(address),), () if origin else (zone,), forwards=forwards)
    (place / _INPUT).write_text(json.dumps(encode(Process("bench", "resolver", config))))
    return [sys.executable, "-m", "labctl.services.alone"]


def unbound(address: str, origin: str, place: Path) -> list[str]:
    """Records as local data, or a forward to the origin."""
    data = [f'local-data: "{name}. {TTL} A {each}"' for name, each in ADDRESSES.items()]
    forward = ["do-not-query-localhost: no", 'local-zone: "test." nodefault', "forward-zone:"]
    forward += [' name: "."', f" forward-addr: {origin}"]
    server = ["num-threads: 1", f"interface: {address}", "access-control: 127.0.0.0/8 allow", "do-daemonize: no"]
    server += ['chroot: ""', 'username: ""', 'pidfile: ""', "use-syslog: no", 'module-config: "iterator"']
    (place / "conf").write_text(
        "\n".join(["server:", *server, *(forward if origin else [f'local-zone: "{ZONE}." static', *data])]) + "\n"
    )
    return ["unbound", "-d", "-c", str(place / "conf")]


def dnsmasq(address: str, origin: str, place: Path) -> list[str]:
    """Records as hosts, or a forward to the origin."""
    (place / "hosts").write_text("".join(f"{each} {name}\n" for name, each in ADDRESSES.items()))
    command = [
        "dnsmasq",
        "-k",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--user=root",
    ]
    command += [f"--listen-address={address}", "--pid-file=", "--cache-size=10000", f"--local-ttl={TTL}"]
    command += ["--dns-forward-max=10000"]
    return [*command, f"--server={origin}" if origin else f"--addn-hosts={place / 'hosts'}"]


def named(address: str, origin: str, place: Path) -> list[str]:
    """Records as a zone, or a forward to the origin."""
    soa = f"$TTL {TTL}\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {address}\n"
    (place / "zone").write_text(soa + "".join(f"{name}. A {each}\n" for name, each in ADDRESSES.items()))
    own = f'zone "{ZONE}" {{ type primary; file "{place / "zone"}"; }};'
    forward = f"recursion yes; forward only; forwarders {{ {origin}; }}; allow-recursion {{ any; }};"
    (place / "conf").write_text(
        f'options {{ directory "{place}"; listen-on {{ {address}; }}; listen-on-v6 {{ none; }}; pid-file none;'
        f" dnssec-validation no; empty-zones-enable no; {forward if origin else 'recursion no;'} }};\n"
        f"controls {{ }};\n{'' if origin else own}\n"
    )
    return ["named", "-g", "-n", "1", "-c", str(place / "conf")]


SERVERS = (
    Server("labctl", sys.executable, labctl),
    Server("unbound", "unbound", unbound),
    Server("dnsmasq", "dnsmasq", dnsmasq),
    Server("named", "named", named),
)


@contextmanager
def serving(server: Server, address: str, origin: str, place: Path) -> Iterator[Running]:
    """The server while it runs, on the first processor. SystemExit where it does not answer."""
    own = place / f"{server.name}-{address}"
    own.mkdir(exist_ok=True)
    log = own / "log"
    command = server.start(address, origin, own)
    (own / _INPUT).touch()
    with log.open("wb") as told, (own / _INPUT).open("rb") as given:
        process = subprocess.Popen(command, cwd=TOP, stdin=given, stdout=told, stderr=told)
    try:
        os.sched_setaffinity(process.pid, {0})
        _await(server.name, address, process, log)
        yield Running(server.name, address, process)
    finally:
        process.terminate()
        process.wait()


def _await(name: str, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(x)]) + x.encode() for x in NAMES[0].split("."))
    deadline = time.monotonic() + _READY_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect((address, 53))
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError):
                client.send(question + b"\0\0\1\0\1")
                if client.recv(512)[7]:
                    return
            time.sleep(0.05)
    raise SystemExit(f"{name} does not answer:\n{log.read_text()}")
