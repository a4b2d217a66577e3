"""The sections of a fingerprint: each function turns what programs print or files hold into sorted lines.

A line starts with the name of its thing. What changes by itself (counters, timers, lifetimes) is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labctl.errors import HostError
from labctl.kernel.links import FALLBACKS

Lines = tuple[str, ...]

FIREWALLS = ("nft", "iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy")
_COMMANDS: dict[str, tuple[str, ...]] = {
    "links": ("ip", "-j", "-d", "link", "show"),
    "addresses": ("ip", "-j", "address", "show"),
    "routes4": ("ip", "-j", "-4", "route", "show", "table", "all"),
    "routes6": ("ip", "-j", "-6", "route", "show", "table", "all"),
    "rules4": ("ip", "-j", "-4", "rule", "show"),
    "rules6": ("ip", "-j", "-6", "rule", "show"),
    "states": ("ip", "xfrm", "state", "list", "nokeys"),
    "policies": ("ip", "xfrm", "policy", "list", "nosock"),
    "qdiscs": ("tc", "qdisc", "show"),
    "nft": ("nft", "--stateless", "list", "ruleset"),
    **{name: (f"{name}-save",) for name in FIREWALLS[1:]},
}
_SECONDS = 20.0
_VOLATILE = frozenset(
    {
        "promiscuity",
        "allmulti",
        "valid_life_time",
        "preferred_life_time",
        "tentative",
        "expires",
        "age",
        "used",
        "users",
    }
)
# Counters, values that the kernel draws by itself, and secrets.
_UNSTEADY_SYSCTLS = frozenset({"nf_conntrack_count", "netdev_rss_key", "tcp_fastopen_key", "stable_secret"})
_XFRM_WORDS = ("src ", "dir ", "proto ", "sel ", "tmpl ", "mark ", "if_id ", "encap ")
_HASHED = 1_000_000  # bytes; a longer file is told by its size and its time alone

_COMMAND_LENGTH = 100
_CHUNK = 65536
_COUNTERS = re.compile(r" ?\[\d+:\d+\] ?")


def programs() -> dict[str, str]:
    """What each program prints: "" where one that is optional is absent, or where the kernel lacks what it lists.

    All run at once. Raises HostError where iproute2 is missing or a program does not end.
    """
    started = {name: _start(command) for name, command in _COMMANDS.items()}
    try:
        return {name: _output(child) if child else "" for name, child in started.items()}
    finally:
        for child in started.values():
            if child and child.poll() is None:
                child.kill()
                child.wait()


def _start(command: tuple[str, ...]) -> subprocess.Popen[str] | None:
    if shutil.which(command[0]) is None:
        if command[0] in ("ip", "tc"):
            raise HostError(f"the program {command[0]} is not installed", hint="apt-get install iproute2")
        return None
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # a signal from the terminal would leave a gap in what is seen
    )


def _output(child: subprocess.Popen[str]) -> str:
    try:
        output, _ = child.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{' '.join(map(str, error.cmd))} did not end in {_SECONDS:g} s") from error
    return output if child.returncode == 0 else ""


def links(text: str) -> Lines:
    """Devices, from `ip -j -d link`."""
    return _sorted(
        _line(record, "ifname")
        for record in _records(text)
        if not (record["ifname"] in FALLBACKS and "UP" not in record["flags"])
    )


def addresses(text: str) -> Lines:
    """Addresses, from `ip -j address`."""
    return _sorted(
        f"{record['ifname']} {_line(address, 'local')}"
        for record in _records(text)
        for address in record.get("addr_info", ())
        if address
    )


def routes(*texts: str) -> Lines:
    """Routes of all tables, from `ip -j route`."""
    return _sorted(_line(record, "dst") for text in texts for record in _records(text))


def rules(*texts: str) -> Lines:
    """Policy rules, from `ip -j rule`; one text a family."""
    return _sorted(
        f"{family} {_line(record, 'priority')}"
        for family, text in zip(("inet", "inet6"), texts, strict=True)
        for record in _records(text)
    )


def firewall(texts: Mapping[str, str]) -> Lines:
    """Rules, each after its program, table and chain."""
    readers = {"nft": _nft}
    return _sorted(
        f"{name}: {line}" for name, text in texts.items() for line in readers.get(name, _iptables)(text.splitlines())
    )


def _nft(lines: list[str]) -> Iterator[str]:
    path: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        if line.endswith("{"):
            path.append(line.removesuffix("{").strip())
            yield " > ".join(path)
        elif line == "}" and path:
            path.pop()
        else:
            yield " > ".join((*path, line))


def _iptables(lines: list[str]) -> Iterator[str]:
    table = ""
    for line in lines:
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith((":", "-", "[")):
            yield f"{table} {_COUNTERS.sub('', line)}"


def xfrm(states: str, policies: str) -> Lines:
    """Security associations without their keys, and policies, from `ip xfrm`."""
    return _sorted(
        f"{kind} {entry}" for kind, text in (("state", states), ("policy", policies)) for entry in _blocks(text)
    )


def _blocks(text: str) -> Iterator[str]:
    """Entries, each from a line that is not indented to the next such."""
    for block in re.split(r"\n(?=\S)", text):
        kept = [line.strip() for line in block.splitlines() if line.strip().startswith(_XFRM_WORDS)]
        if kept:
            yield " ".join(kept)


def qdiscs(text: str) -> Lines:
    """Queueing disciplines, from `tc qdisc`."""
    return _sorted(re.sub(r" refcnt \d+", "", line).strip() for line in text.splitlines())


def sysctls(root: Path = Path("/proc/sys/net")) -> Lines:
    """Every readable value below `root`, as `net.ipv4.ip_forward = 0`."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            value = None if name in _UNSTEADY_SYSCTLS else _read(path)
            if value is not None:
                found.append(f"{'.'.join(path.relative_to(root.parent).parts)} = {' '.join(value.decode().split())}")
    return _sorted(found)


def mounts(path: Path = Path("/proc/thread-self/mountinfo")) -> Lines:
    """Mounts: where, what, from where and how, see proc(5); without the numbers that the kernel gives them."""
    return _sorted(_mount(line.split()) for line in path.read_text().splitlines())


def _mount(words: list[str]) -> str:
    end = words.index("-")
    source, place, options = words[3], words[4], words[5]
    shared = [word.partition(":")[0] for word in words[6:end]]
    return " ".join((place, *words[end + 1 :], f"root={source}", options, *shared))


def entries(folder: Path) -> Lines:
    """What stands in `folder`, each link with where it leads; nothing where the folder is absent."""
    if not folder.is_dir():
        return ()
    shown = (each for each in folder.iterdir() if not each.name.startswith("."))
    return _sorted(f"{each} -> {each.readlink()}" if each.is_symlink() else str(each) for each in shown)


def files(root: Path) -> Lines:
    """Everything below `root`: mode, owner, and of a file its size, time of change and digest.

    A file that not everybody may read has no digest, because a digest would tell something of what it hides.
    """
    return _sorted(line for folder, _, names in os.walk(root) for line in _folder(Path(folder), names))


def _folder(folder: Path, names: Iterable[str]) -> Iterator[str]:
    status = folder.lstat()
    yield f"{folder}/ {status.st_mode:o} {status.st_uid}:{status.st_gid}"
    for path in map(folder.joinpath, names):
        try:
            yield _file(path, path.lstat())
        except FileNotFoundError:
            continue  # removed since it was listed


def _file(path: Path, status: os.stat_result) -> str:
    head = f"{path} {status.st_mode:o} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{head} -> {path.readlink()}"
    if not stat.S_ISREG(status.st_mode):
        return head
    line = f"{head} {status.st_size} bytes, mtime {status.st_mtime_ns}"
    if status.st_size >= _HASHED or not status.st_mode & stat.S_IROTH:
        return line
    return f"{line}, sha256 {hashlib.sha256(_read(path) or b'').hexdigest()[:16]}"


def processes(proc: Path = Path("/proc")) -> frozenset[str]:
    """Processes as `PID@START COMMAND LINE`, START in clock ticks since boot; not this one and those it came from.

    Command lines are cut short: they are for recognition, and some hold what nobody should keep.
    """
    ours = set(_ancestry(proc, os.getpid()))
    numbers = (each.name for each in proc.iterdir() if each.name.isdigit() and int(each.name) not in ours)
    return frozenset(line for number in numbers if (line := _process(proc / number)))


def _process(folder: Path) -> str:
    """Its line; "" for one that is gone, has ended, or is a thread of the kernel."""
    command = (_read(folder / "cmdline") or b"").replace(b"\0", b" ").decode(errors="replace").strip()
    fields = _stat(folder)
    return f"{folder.name}@{fields[19]} {command[:_COMMAND_LENGTH]}" if command and fields else ""


def _ancestry(proc: Path, pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        fields = _stat(proc / str(pid))
        pid = int(fields[1]) if fields else 0


def _stat(folder: Path) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on: the second may hold spaces."""
    return (_read(folder / "stat") or b"").decode(errors="replace").rpartition(")")[2].split()


def _read(path: Path) -> bytes | None:
    """The content by few system calls, which are dear in a guest kernel; None where it is gone or write-only."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = [os.read(fd, _CHUNK)]
        while len(parts[-1]) == _CHUNK:
            parts.append(os.read(fd, _CHUNK))
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(fd)


def _records(text: str) -> list[dict[str, Any]]:
    try:
        return [record for record in json.loads(text or "[]") if record]
    except ValueError as error:
        raise HostError(f"ip printed something that is not JSON: {error}") from error


def _line(record: Mapping[str, Any], name: str) -> str:
    settings = (
        f"{key} {_value(value)}" for key, value in sorted(record.items()) if key != name and key not in _VOLATILE
    )
    return " ".join((str(record.get(name, "")), *settings))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        kept = (f"{key} {_value(each)}" for key, each in sorted(value.items()) if not key.endswith("_timer"))
        return f"({' '.join(kept)})"
    if isinstance(value, list):
        return ",".join(map(_value, value)) or "-"
    return str(value)


def _sorted(lines: Iterable[str]) -> Lines:
    return tuple(sorted(lines))
