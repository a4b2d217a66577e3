"""What this machine can do, found out by trying it in scratch namespaces that end with the trial.

Trying a mechanism lets the kernel load its module, as using it would; nothing else of the host changes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labctl.kernel import budget, scratch
from labctl.kernel.host import Kernel, kernel, user_namespaces
from labctl.plan.needs import MEANS, Mechanism

_GUEST = "run in a guest kernel (--on uml)"
_SECONDS = 120.0
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"

_ENDS = "src 192.0.2.1 dst 192.0.2.2"  # RFC 5737: addresses of nobody
_KEY = "0x" + "a5" * 36  # of the longest size; a trial's key protects nothing


def _commands(*lines: str) -> scratch.Trial:
    return [(line.split(), "") for line in lines]


def _aead(size: int) -> scratch.Trial:
    """Trial of an AES-GCM state; `size` of the key in bytes, its 4 of salt included (RFC 4106 section 8.1)."""
    return _state("aead", "rfc4106(gcm(aes))", _hex(size), "128")


def _cbc(size: int, digest: str, digest_size: int, check_bits: int) -> scratch.Trial:
    """Trial of an AES-CBC state with an HMAC cut to `check_bits`; sizes of the keys in bytes."""
    check = ("auth-trunc", f"hmac({digest})", _hex(digest_size), str(check_bits))
    return _state(*check, "enc", "cbc(aes)", _hex(size))


def _state(*transform: str) -> scratch.Trial:
    return [([*f"ip xfrm state add {_ENDS} proto esp spi 0x1001 reqid 1 mode tunnel".split(), *transform], "")]


def _hex(size: int) -> str:
    return _KEY[: 2 + 2 * size]


def _rules(table: str, *lines: str) -> scratch.Trial:
    return [(["iptables-restore"], "\n".join((f"*{table}", *lines, "COMMIT", "")))]


_TRIALS: dict[Mechanism, scratch.Trial] = {
    "netns": _commands(),
    "veth": _commands("ip link add name veth1 type veth peer name veth2"),
    "bridge": _commands("ip link add name bridge1 type bridge"),
    "gre": _commands("ip link add name gre1 type gre local 192.0.2.1 remote 192.0.2.2 key 42 ttl 64"),
    "geneve": _commands(
        "ip link add name bridge1 type bridge",
        "ip link add name geneve1 type geneve id 7 remote 192.0.2.2 df set udpcsum",
        "ip link set geneve1 master bridge1",
        "ip link set geneve1 type bridge_slave isolated on",
    ),
    "policy-routing": _commands(
        "ip rule add priority 1000 from 192.0.2.1 iif lo lookup 7", "ip route add unreachable 192.0.2.0/24 table 7"
    ),
    "xfrm-interface": _commands("ip link add name xfrm1 type xfrm dev lo if_id 7"),
    "xfrm-policy": _commands(f"ip xfrm policy add {_ENDS} dir out tmpl {_ENDS} proto esp reqid 1 mode tunnel"),
    "esp-aes128-gcm": _aead(20),
    "esp-aes256-gcm": _aead(36),
    "esp-aes128-cbc-sha1": _cbc(16, "sha1", 20, 96),
    "esp-aes256-cbc-sha1": _cbc(32, "sha1", 20, 96),
    "esp-aes256-cbc-sha256": _cbc(32, "sha256", 32, 128),
    "netem": _commands("tc qdisc add dev lo root netem delay 5ms 1ms"),
    "tbf": _commands("tc qdisc add dev lo root tbf rate 1mbit burst 2000 limit 15000"),
    "clsact": _commands("tc qdisc add dev lo clsact"),
    "clsact-u32": _commands(
        "tc qdisc add dev lo clsact",
        "tc filter add dev lo ingress protocol all prio 1 u32 match u32 0 0 action drop",
    ),
    "clsact-bpf": [
        *_commands("tc qdisc add dev lo clsact"),
        (["tc", "filter", "add", "dev", "lo", "ingress", "bpf", "da", "bytecode", "1,6 0 0 0"], ""),
        ([sys.executable, "-I", budget.__file__], ""),
    ],
    "iptables": _rules("filter", ":FORWARD DROP [0:0]", "-A FORWARD -i lo -j ACCEPT"),
    "iptables-nat": _rules(
        "nat",
        "-A PREROUTING -d 192.0.2.1/32 -j DNAT --to-destination 192.0.2.2",
        "-A POSTROUTING -s 192.0.2.1/32 -j SNAT --to-source 192.0.2.2",
        "-A POSTROUTING -o lo -j MASQUERADE",
    ),
    "iptables-mangle": _rules("mangle", "-A FORWARD -i lo -j ACCEPT"),
    "iptables-raw": _rules("raw", "-A PREROUTING -i lo -j ACCEPT"),
    "iptables-conntrack": _rules("filter", "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"),
    "iptables-policy": _rules("filter", "-A FORWARD -m policy --dir in --pol ipsec -j ACCEPT"),
    "iptables-reject": _rules("filter", "-A FORWARD -j REJECT --reject-with icmp-admin-prohibited"),
    "iptables-tcpmss": _rules(
        "mangle", "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    ),
    "iptables-netmap": _rules("nat", "-A PREROUTING -d 192.0.2.0/24 -j NETMAP --to 198.51.100.0/24"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether `mechanism` works here. `detail`: what was seen; `remedy`: what to do about it, "" where it works."""

    mechanism: Mechanism
    ok: bool
    detail: str
    remedy: str = ""


def probe(mechanisms: Iterable[Mechanism]) -> tuple[Finding, ...]:
    """Try each of `mechanisms` and say what came of it, in their order, each once.

    Never raises for what is missing, a privilege included: that is what the findings say.
    """
    wanted = tuple(dict.fromkeys(mechanisms))
    settled = {mechanism: _without_trying(mechanism) for mechanism in wanted}
    outcomes = _try([mechanism for mechanism, finding in settled.items() if finding is None])
    host = kernel() if any(outcomes.values()) else None
    return tuple(settled[each] or _judged(each, outcomes[each], host) for each in wanted)


def missing(mechanisms: Iterable[Mechanism], known: Iterable[Finding] = ()) -> tuple[Finding, ...]:
    """Those of `probe(mechanisms)` that do not work here; what is `known` is not tried again."""
    found = {each.mechanism: each for each in known}
    wanted = tuple(dict.fromkeys(mechanisms))
    found |= {each.mechanism: each for each in probe(each for each in wanted if each not in found)}
    return tuple(found[each] for each in wanted if not found[each].ok)


def remedy(mechanism: Mechanism, fault: str, host: Kernel) -> str:
    """One line that says how to get `mechanism`, which failed with `fault` on `host`."""
    means = MEANS[mechanism]
    if "not permitted" in fault or "Permission denied" in fault:
        return f"give labctl all of root's capabilities (in a container: --privileged), or {_GUEST}"
    off = host.switched_off(means.options)
    if off or not (host.modular and means.modules):
        return f"this kernel was built without {', '.join(off or means.options)}: {_GUEST}"
    loadable = [module for module in means.modules if module in (host.shipped or ()) and module not in host.present]
    if loadable:
        return f"modprobe -a {' '.join(loadable)}"
    if host.shipped is None:
        outside = f"`modprobe -a {' '.join(means.modules)}` outside of a container"
        return f"no modules of kernel {host.release} are here: reboot after an upgrade, {outside}, or {_GUEST}"
    absent = [module for module in means.modules if module not in host.shipped | host.present]
    if absent:
        return f"{_package(host)} (it should bring {', '.join(absent)}), or {_GUEST}"
    return _GUEST


def _package(host: Kernel) -> str:
    if host.distribution == "ubuntu":
        return f"apt-get install linux-modules-extra-{host.release}"
    return f"apt-get install --reinstall linux-image-{host.release}"


def _without_trying(mechanism: Mechanism) -> Finding | None:
    """What is known of `mechanism` before any trial: a program is there or not, and only root can try the rest."""
    kind, _, program = mechanism.partition(":")
    programs = [program] if kind == "program" else [arguments[0] for arguments, _ in _TRIALS[mechanism]]
    for each in programs:
        if shutil.which(each) is None:
            return _no_program(mechanism, each)
    if kind == "program":
        return Finding(mechanism, True, str(shutil.which(program)))
    if os.geteuid() != 0:
        detail = f"needs root, and this is uid {os.geteuid()}; {user_namespaces()}"
        return Finding(mechanism, False, detail, f"run as root (sudo labctl ...), or {_GUEST}")
    return None


def _no_program(mechanism: Mechanism, program: str) -> Finding:
    elsewhere = shutil.which(program, path=_SBIN)
    if elsewhere:
        folder = Path(elsewhere).parent
        return Finding(mechanism, False, f"{program} is in {folder}, which PATH does not name", f"add {folder} to PATH")
    return Finding(
        mechanism, False, f"the program {program} is not installed", f"apt-get install {_package_of(program)}"
    )


def _package_of(program: str) -> str:
    return next((means.package for each, means in MEANS.items() if each == f"program:{program}"), "iproute2")


def _judged(mechanism: Mechanism, fault: str, host: Kernel | None) -> Finding:
    if not fault or host is None:
        return Finding(mechanism, True, MEANS[mechanism].what)
    return Finding(mechanism, False, fault, remedy(mechanism, fault, host))


def _try(mechanisms: list[Mechanism]) -> dict[Mechanism, str]:
    """For each mechanism what its trial complained of, "" where it went well."""
    if not mechanisms:
        return {}
    trials = json.dumps({each: _TRIALS[each] for each in mechanisms})
    child = [sys.executable, "-I", scratch.__file__]
    try:
        # In a session of its own: Ctrl-C is for labctl, and would be taken for something that is missing.
        done = subprocess.run(
            child, input=trials, capture_output=True, text=True, timeout=_SECONDS, start_new_session=True
        )
        outcomes = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return dict.fromkeys(mechanisms, f"the trials did not end in {_SECONDS:g} s")
    except ValueError:
        said = done.stderr.strip()[-200:] or f"status {done.returncode}"
        return dict.fromkeys(mechanisms, f"the trials broke off: {said}")
    return {each: outcomes[each] for each in mechanisms}
