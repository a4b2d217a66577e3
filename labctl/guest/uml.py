"""User-Mode Linux: where its kernel lies, what the host must offer it, and the command that boots it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from pathlib import Path

from labctl.guest.choice import Availability
from labctl.guest.job import Job, Launch, Request, Share, Workspace, directories, environment, hidden, outer_first
from labctl.guest.places import cache

MEMORY = 1 << 30
COVERS = ("/tmp", "/run", "/var/tmp")
CHANNEL = "/dev/ttyS0"
"""The serial line at which a guest has its byte stream to the host."""

BUILD = Path(__file__).parent / "uml" / "build-uml"


def kernel() -> Path | None:
    """The kernel to boot: the one LABCTL_UML_KERNEL names, or the newest in the cache, or None."""
    named = os.environ.get("LABCTL_UML_KERNEL")
    if named:
        return Path(named).absolute()
    return max(cache().glob("linux-uml-*"), key=version, default=None)


def version(path: Path) -> list[int]:
    """The numbers in a file's name, to compare: 6.12 is newer than 6.8."""
    return [int(number) for number in re.findall(r"\d+", path.name)]


def build_command() -> str:
    """The shortest command that builds the kernel on this machine."""
    script = BUILD.parents[3] / "scripts" / "build-uml"
    return str(script if script.exists() else BUILD)


def available() -> Availability:
    """Whether a kernel is there, runs as a program (it is asked for its version), and finds room for its memory."""
    remedy = f"{build_command()} (about 5 minutes)"
    path = kernel()
    if path is None:
        return Availability("uml", False, "no kernel is built yet", remedy)
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as fault:
        why = getattr(fault, "strerror", None) or type(fault).__name__
        return Availability("uml", False, f"{path} does not run: {why}", f"unset LABCTL_UML_KERNEL; {remedy}")
    if memory_directory() is None:
        detail = f"no directory has {MEMORY >> 20} MiB free, and no noexec, for the guest's memory"
        return Availability("uml", False, detail, "TMPDIR=/a/larger/directory labctl ...")
    return Availability("uml", True, f"Linux {asked.stdout.strip()}, {path}")


def memory_directory() -> Path | None:
    """Where the guest's memory can be a file: mapped executable, so not on noexec as a container's /dev/shm is.

    UML takes /dev/shm by itself whatever its size, and dies of SIGBUS when it is full.
    """
    for name in ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/var/tmp"):
        if name and os.access(name, os.W_OK):
            found = os.statvfs(name)
            if found.f_bavail * found.f_frsize >= MEMORY and not found.f_flag & os.ST_NOEXEC:
                return Path(name)
    return None


def prepare(work: Workspace, request: Request) -> Launch:
    """Lay out the job for this engine: written directories are mounts of hostfs, the rest is the read-only root."""
    written = [Share(str(path), str(path), "hostfs") for path in (work.root, *directories(request.writable))]
    taken = {share.path for share in written}
    shown = [Share(str(path), str(path)) for path in hidden(request.readable, COVERS) if str(path) not in taken]
    job = Job(
        argv=request.argv,
        cwd=str(Path.cwd()),
        environment=environment(request.environment),
        covers=(*COVERS, "/dev/shm"),
        shares=outer_first([*written, *shown]),
        heard=request.heard,
    )
    processor, claim = claim_processor()
    passed = () if request.channel is None else (request.channel,)
    return Launch(job, command(work, request.channel), host_environment(), frozenset({processor}), claim, passed)


def command(work: Workspace, channel: int | None = None) -> list[str]:
    """The kernel and its command line; process 1 is the interpreter with `inside.py`."""
    root = work.root
    return [
        str(kernel()),
        f"mem={MEMORY >> 20}M",
        *("rootfstype=hostfs", "rootflags=/", "ro"),
        f"init={root}/python",
        *("con=null", "con0=null,fd:1", "quiet", "loglevel=3"),
        *(() if channel is None else (f"ssl0=fd:{channel}",)),
        *("umid=guest", f"uml_dir={root}"),
        *("--", "-I", "-S", f"{root}/inside.py", str(root)),
    ]


def host_environment() -> dict[str, str]:
    """What the kernel, as a program of the host, must find in its environment.

    Its stub processes would inherit glibc's registration for rseq and then unmap that memory: the next signal
    kills them. TMPDIR says where the guest's memory lies.
    """
    inherited = os.environ.get("GLIBC_TUNABLES")
    tunables = "glibc.pthread.rseq=0" if not inherited else f"{inherited}:glibc.pthread.rseq=0"
    return {**os.environ, "GLIBC_TUNABLES": tunables, "TMPDIR": str(memory_directory() or tempfile.gettempdir())}


def claim_processor() -> tuple[int, socket.socket | None]:
    """A processor for this guest alone, and the claim on it, which ends with this process at the latest.

    The guest's kernel and its processes hand over to each other at every system call: 6 us on one processor, 45 us
    across two. The claim is a name among the abstract sockets, unix(7): it leaves no file behind. Where every
    processor is claimed they are shared, spread by process number.
    """
    processors = sorted(os.sched_getaffinity(0))
    for processor in processors:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0labctl-guest-processor-{processor}")
        except OSError:
            claim.close()
        else:
            return processor, claim
    return processors[os.getpid() % len(processors)], None
