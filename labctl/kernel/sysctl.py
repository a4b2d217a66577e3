"""Kernel settings of a namespace: only those under `net.`, each read back after it was written."""

from __future__ import annotations

from pathlib import Path

from labctl.errors import KernelError
from labctl.kernel import netns

_ROOT = Path("/proc/sys")

# What a new namespace would take over from the host, or what would make a probe's answer a lie: addresses judged by
# the way back, redirects, answers withheld by rate limits, memory of earlier connections, firewall hooks in bridges.
_NEW_NAMESPACE = (
    ("net.ipv6.conf.all.disable_ipv6", "1"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.ignore_routes_with_linkdown", "1"),
    ("net.ipv4.conf.default.ignore_routes_with_linkdown", "1"),
    # Otherwise the first address of a subnet takes the others with it when it goes.
    ("net.ipv4.conf.all.promote_secondaries", "1"),
    # No type of ICMP is limited, neither for each receiver nor in sum. icmp_ratelimit=0 would do harm instead: it
    # empties, with each error sent, the bucket from which errors about missing routes are paid. That bucket itself
    # (net.ipv4.route.error_burst: 5 errors, then 1 a second, for each receiver) is a setting of the whole host.
    ("net.ipv4.icmp_ratemask", "0"),
    ("net.ipv4.tcp_no_metrics_save", "1"),
    ("net.bridge.bridge-nf-call-iptables", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "0"),
    ("net.bridge.bridge-nf-call-arptables", "0"),
)
# Changing ip_forward sets these anew (Documentation/networking/ip-sysctl.rst), so they follow it.
_AFTER_FORWARDING = (
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
)


def prepare(namespace: Path, *, forwarding: bool) -> None:
    """Set up a new namespace, before its first device. Settings that this kernel does not have are left out."""
    with netns.enter(namespace):
        for name, value in _NEW_NAMESPACE:
            _write_if_present(name, value)
        _forward(forwarding)


def forward(namespace: Path, *, forwarding: bool) -> None:
    """Make the namespace route, or not."""
    with netns.enter(namespace):
        _forward(forwarding)


def write(namespace: Path, name: str, value: str, *, subject: object = None) -> None:
    """Set `name` in `namespace`. KernelError where there is no such setting, or where the value does not stick."""
    with netns.enter(namespace):
        _write(name, value, subject)


def _forward(forwarding: bool) -> None:
    _write("net.ipv4.ip_forward", "1" if forwarding else "0", None)
    for name, value in _AFTER_FORWARDING:
        _write_if_present(name, value)


def _write_if_present(name: str, value: str) -> None:
    if _file(name).exists():
        _write(name, value, None)


def _write(name: str, value: str, subject: object) -> None:
    file = _file(name)
    try:
        file.write_text(value)
        found = file.read_text()
    except OSError as error:
        reason = f"cannot set {name} to {value}: {error.strerror}"
        raise KernelError(reason, subject=subject, errno=error.errno or 0) from error
    if found.split() != value.split():
        raise KernelError(f"{name} was set to {value} but reads {found.strip()}", subject=subject)


def _file(name: str) -> Path:
    """The file of a setting. As in sysctl(8), "/" in a name stands for a dot in a device's name."""
    parts = [part.replace("/", ".") for part in name.split(".")]
    if parts[0] != "net" or any(part in ("", ".", "..") for part in parts):
        raise KernelError(f"{name} is not a setting of a network namespace")
    return _ROOT.joinpath(*parts)
