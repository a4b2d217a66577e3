"""An ICMP echo request on a raw socket, and a forged segment on the wire.

Only the forged one needs scapy, which takes 0.2 s to import, 16 s on an emulated processor: none is imported before.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from labctl.kernel.netns import enter
from labctl.probes import echo
from labctl.probes.attempt import Attempt, IcmpListener, as_complaint, pattern, wait
from labctl.probes.wire import Inject, Ping, Reply

# linux/in.h, linux/errqueue.h
_IP_MTU_DISCOVER, _IP_RECVERR = 10, 11
_PMTUDISC_DONT, _PMTUDISC_PROBE = 0, 3
_MSG_ERRQUEUE = 0x2000
_SOCK_EXTENDED_ERR = struct.Struct("IBBBxII")

_ARP_TABLE = Path("/proc/thread-self/net/arp")
_ARP_COMPLETE = 0x2  # ATF_COM, linux/if_arp.h
_DISCARD_PORT = 9  # RFC 863
_LOOK_AGAIN_S = 0.005


def ping(attempt: Attempt, action: Ping) -> Reply:
    """One echo request (RFC 792). With DF a second follows halfway if nothing has come back.

    A tunnel on the way learns its own path MTU by losing the first packet, and tells the sender at the second.
    DF goes with IP_PMTUDISC_PROBE (ip(7)): a path MTU that an earlier ping has learnt must not answer for the path.
    """
    message = echo.request(random.randrange(65536), 1, pattern(attempt.marker, action.size))
    sock, ears = attempt.sockets(socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with closing(sock), closing(ears):
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE if action.df else _PMTUDISC_DONT)
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        attempt.begin()
        for until in (attempt.left() - attempt.due() / 2, 0.0) if action.df else (0.0,):
            refusal = _request(attempt, sock, message, action.to)
            reply = refusal or _heard(attempt, ears, message, action.to, until)
            if reply is not None:
                return reply
    return attempt.silence("no echo reply")


def _request(attempt: Attempt, sock: socket.socket, message: bytes, to: IPv4Address) -> Reply | None:
    try:
        sock.sendto(message, (str(to), 0))
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            return attempt.local(error.errno or 0)
        return attempt.reply("too_big", "larger than the MTU of the sender's own device", mtu=_own_mtu(sock))
    return None


def _own_mtu(sock: socket.socket) -> int:
    """What the kernel's local EMSGSIZE tells: `ee_info` of the error queue (ip(7), IP_RECVERR); 0 if it does not."""
    try:
        _, ancillary, _, _ = sock.recvmsg(0, 512, _MSG_ERRQUEUE)
    except BlockingIOError:
        return 0
    found = [data for level, kind, data in ancillary if (level, kind) == (socket.IPPROTO_IP, _IP_RECVERR)]
    return int(_SOCK_EXTENDED_ERR.unpack_from(found[0])[4]) if found else 0


def _heard(attempt: Attempt, ears: IcmpListener, message: bytes, to: IPv4Address, until: float) -> Reply | None:
    """The answer or the ICMP error, if either comes while more than `until` seconds are left."""
    for seconds in attempt.rounds(until):
        wait(seconds, ears.socket)
        for source, said in ears.messages():
            if said[:1] == bytes([echo.REPLY]) and said[4:8] == message[4:8] and source == str(to):
                if said[8:] == message[8:]:
                    return attempt.reply("ok", "the echo came back")
                return attempt.reply("corrupt", "the echo is not what was sent")
            complaint = as_complaint(source, said)
            if complaint is not None and complaint.about(socket.IPPROTO_ICMP, to, message[:8]):
                return attempt.complaint(complaint)
    return None


@dataclass(frozen=True, slots=True)
class _Neighbour:
    """A line of the ARP table."""

    address: str
    mac: str
    device: str


def inject(attempt: Attempt, action: Inject) -> Reply:
    """Put a forged SYN on the wire to the MAC of `via`. "ok": it was sent; where it got to the taps tell."""
    from labctl.probes.forgery import frame

    attempt.begin()
    neighbour = _neighbour(attempt, str(action.via))
    if neighbour is None:
        return attempt.reply("error", f"{action.via} is no neighbour: it has no MAC address here")
    port = random.randrange(32768, 61000)
    attempt.own.add((socket.IPPROTO_TCP, port, action.port))
    with enter(attempt.namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    with closing(sock):
        sock.bind((neighbour.device, 0))
        macs = (sock.getsockname()[4].hex(":"), neighbour.mac)
        try:
            sock.send(frame(action, port, attempt.marker, macs))
        except OSError as error:
            return attempt.reply("error", f"{neighbour.device} would not send: {os.strerror(error.errno or 0)}")
    return attempt.reply("ok", f"sent by {neighbour.device} to {neighbour.mac}")


def _neighbour(attempt: Attempt, via: str) -> _Neighbour | None:
    """The neighbour `via`, asked for by a datagram where it is not known yet."""
    with enter(attempt.namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        found = _lookup(via)
        if found is None:
            try:
                asking.sendto(b"", (via, _DISCARD_PORT))
            except OSError:
                return None
        while found is None and attempt.left():
            time.sleep(_LOOK_AGAIN_S)
            found = _lookup(via)
    return found


def _lookup(via: str) -> _Neighbour | None:
    return next((each for each in _neighbours() if each.address == via), None)


def _neighbours() -> Iterator[_Neighbour]:
    """Those with a known MAC in the calling thread's namespace (proc(5), /proc/net/arp)."""
    for line in _ARP_TABLE.read_text().splitlines()[1:]:
        address, _, flags, mac, _, device = line.split()
        if int(flags, 16) & _ARP_COMPLETE:
            yield _Neighbour(address, mac, device)
