"""Kernel settings of a namespace: only those under `net.`, each read back after it was written."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from labctl.errors import KernelError
from labctl.kernel import netns

_ROOT = Path("/proc/sys")

# What a new namespace would take over from the host, or what would make a probe's answer a lie: addresses judged by
# the way back, redirects, answers withheld by rate limits, memory of earlier connections. `all` counts for every
# device where one of the two values is enough (IN_DEV_ORCONF, include/linux/inetdevice.h), and for IPv6 it is handed
# on to those that are made later (Documentation/networking/ip-sysctl.rst).
_NEW_NAMESPACE = (
    ("net.ipv6.conf.all.disable_ipv6", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.ignore_routes_with_linkdown", "1"),
    # Otherwise the first address of a subnet takes the others with it when it goes.
    ("net.ipv4.conf.all.promote_secondaries", "1"),
    # No type of ICMP is limited, neither for each receiver nor in sum. icmp_ratelimit=0 would do harm instead: it
    # empties, with each error sent, the bucket from which errors about missing routes are paid. That bucket itself
    # (net.ipv4.route.error_burst: 5 errors, then 1 a second, for each receiver) is a setting of the whole host.
    ("net.ipv4.icmp_ratemask", "0"),
    ("net.ipv4.tcp_no_metrics_save", "1"),
)
# Changing ip_forward sets these anew (Documentation/networking/ip-sysctl.rst), so they follow it.
_AFTER_FORWARDING = (
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
)
NEW_NAMESPACE = dict((*_NEW_NAMESPACE, *_AFTER_FORWARDING))
"""What every namespace of a lab is set to, after its forwarding."""
# Firewall hooks: present where br_netfilter is loaded.
_BRIDGES = (
    ("net.bridge.bridge-nf-call-iptables", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "0"),
    ("net.bridge.bridge-nf-call-arptables", "0"),
)

# mount.h; the numbers of these system calls are the same on nearly every architecture.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSCONFIG_CMD_CREATE = 6
_TREE_USES = 64


class Preparing:
    """Sets up new namespaces, each before its first device, with the fewest writes.

    What a new namespace has by itself is the same in all: the first one is read, and only what it lacks is written,
    there with a look at what became of it. Settings that this kernel does not have are left out.
    """

    def __init__(self) -> None:
        self._lacking: dict[tuple[str, bool], list[tuple[str, bytes]]] = {}
        self._tree = _Tree()

    def prepare(self, *, forwarding: bool) -> None:
        """Set up the fresh namespace that the calling thread is in, so that it routes, or not."""
        self._settle("fresh", forwarding)

    def turn(self, *, forwarding: bool) -> None:
        """Have it route, or not, where `prepare` was told otherwise."""
        self._settle("prepared", forwarding)

    def close(self) -> None:
        """Let go of what it holds open."""
        self._tree.close()

    def _settle(self, state: str, forwarding: bool) -> None:
        case = (state, forwarding)
        if case not in self._lacking:
            wanted = (*_NEW_NAMESPACE, _forwarding(forwarding), *_AFTER_FORWARDING)
            lacking = [(_relative(name), value.encode()) for name, value in wanted if _set(name, value)]
            self._lacking[case] = lacking
            return
        tree = self._tree.fd()
        for file, value in self._lacking[case]:
            try:
                fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC, dir_fd=tree)
                os.write(fd, value)
                os.close(fd)
            except OSError as error:
                reason = f"cannot set {file} to {value.decode()}: {error.strerror}"
                raise KernelError(reason, errno=error.errno or 0) from error


def forward(namespace: Path, *, forwarding: bool) -> None:
    """Make the namespace route, or not."""
    with netns.enter(namespace):
        _write(*_forwarding(forwarding), None)
        for name, value in _AFTER_FORWARDING:
            _set(name, value)


def bridges(namespace: Path) -> None:
    """Keep the firewall out of the bridges of the namespace."""
    with netns.enter(namespace):
        for name, value in _BRIDGES:
            _set(name, value)


def write(namespace: Path, name: str, value: str, *, subject: object = None) -> None:
    """Set `name` in `namespace`. KernelError where there is no such setting, or where the value does not stick."""
    with netns.enter(namespace):
        _write(name, value, subject)


def current(name: str) -> str:
    """The value of `name` in the namespace that the calling thread is in; "" where there is no such setting."""
    try:
        return _file(name).read_text().strip()
    except OSError:
        return ""


def _forwarding(forwarding: bool) -> tuple[str, str]:
    return "net.ipv4.ip_forward", "1" if forwarding else "0"


def _set(name: str, value: str) -> bool:
    """Set what this kernel has and what is otherwise; whether that was so."""
    file = _file(name)
    if not file.exists() or file.read_text().split() == value.split():
        return False
    _write(name, value, None)
    return True


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


def _relative(name: str) -> str:
    return str(_file(name).relative_to(_ROOT.parent))


class _Tree:
    """A file system proc of our own, mounted nowhere, and now and then another.

    In one proc the entries of all namespaces, long gone ones too, stand in the same list (proc_sys_compare,
    fs/proc/proc_sysctl.c), so that every look-up costs more than the one before. Where a machine does not give
    us one, /proc does.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._uses = _TREE_USES

    def fd(self) -> int:
        """The root of it."""
        if self._uses == _TREE_USES:
            self.close()
            self._fd, self._uses = _proc(), 0
        self._uses += 1
        return self._fd

    def close(self) -> None:
        """Give it up."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _proc() -> int:
    context = _libc.syscall(_FSOPEN, b"proc", 1)
    if context >= 0:
        try:
            if _libc.syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0) == 0:
                root: int = _libc.syscall(_FSMOUNT, context, 1, 0)
                if root >= 0:
                    return root
        finally:
            os.close(context)
    return os.open(_ROOT.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


_libc = ctypes.CDLL(None, use_errno=True)
