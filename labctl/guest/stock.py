"""The distribution's stock kernel in QEMU through virtme-ng: on the processor (kvm) or emulated (tcg).

`virtme-run` is called rather than its front end `vng`: one process fewer to end, and the same options.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labctl.guest.choice import Availability
from labctl.guest.job import Job, Launch, Request, Share, Workspace, directories, environment, hidden, outer_first
from labctl.guest.places import cache
from labctl.guest.uml import version

MEMORY = "1G"
# What virtme's own init puts a tmpfs over, before `inside.py` has a say.
VIRTME_COVERS = ("/run", "/var/tmp", "/var/log", "/var/cache", "/var/lib/private", "/var/lib/apt")
COVERS = ("/tmp",)
SHARED = "/run/labctl-guest"
JOB = f"{SHARED}/job"
# tun has no way to be loaded on demand as root of a devtmpfs; the others spare a search at first use.
MODULES = (
    *("tun", "veth", "bridge", "ip_gre", "vrf", "xfrm_user", "xfrm_interface", "esp4", "gcm", "authenc"),
    *("virtio_console", "sch_netem", "sch_tbf", "sch_ingress", "cls_u32", "act_mirred", "act_gact"),
)
CHANNEL = "labctl"
"""The name of the virtio port at which a guest has its byte stream to the host."""

# A plain model: the default, every feature that can be emulated, boots slower and runs slower.
PROCESSOR = {"kvm": "host", "tcg": "Nehalem"}
# Defences against a hostile guest process cost a second of emulated boot and protect nothing here.
KERNEL_OPTIONS = {"kvm": (), "tcg": ("mitigations=off", "nokaslr")}


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs and the kernel that were found, each None where it is missing."""

    virtme: str | None
    qemu: str | None
    busybox: str | None
    modprobe: str | None
    kernel: Path | None


def find() -> Tools:
    """Look for everything on the search path, in the sbin directories, and in this interpreter's own environment."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    virtme = shutil.which("virtme-run", path=f"{sys.prefix}/bin") or shutil.which("virtme-run", path=path)
    return Tools(
        virtme=virtme,
        qemu=shutil.which("qemu-system-x86_64", path=path),
        busybox=shutil.which("busybox", path=path),
        modprobe=shutil.which("modprobe", path=path),
        kernel=kernel(),
    )


def kernel(boot: Sequence[Path] | None = None, modules: Path = Path("/lib/modules")) -> Path | None:
    """The newest kernel that has its modules and 9p among them (the cloud flavours have not, and cannot boot here).

    It is looked for in `boot`, by default /boot and the user's cache: where /boot is for root only, as on Ubuntu,
    the cache may hold a copy. One that can be read comes before one that cannot.
    """
    found = [image for place in boot or (Path("/boot"), cache()) for image in place.glob("vmlinuz-*")]
    bootable = [image for image in found if _speaks_9p(modules / image.name.removeprefix("vmlinuz-"))]
    return max(bootable, key=lambda image: (os.access(image, os.R_OK), version(image)), default=None)


def _speaks_9p(tree: Path) -> bool:
    builtin = tree / "modules.builtin"
    return any(tree.glob("kernel/fs/9p/9p.ko*")) or (builtin.exists() and "/9p.ko" in builtin.read_text())


def available(name: str) -> Availability:
    """Whether the engine `name`, kvm or tcg, can boot: all parts are there, and QEMU starts a machine of that kind."""
    tools = find()
    missing, commands = lacking(tools, ubuntu=_is_ubuntu())
    if name == "kvm" and not Path("/dev/kvm").exists():
        return Availability(name, False, "there is no /dev/kvm", "enable virtualisation (nested, in a virtual machine)")
    if missing:
        return Availability(name, False, f"missing: {', '.join(missing)}", " && ".join(commands))
    assert tools.qemu is not None
    assert tools.kernel is not None
    if not os.access(tools.kernel, os.R_OK):
        detail = f"{tools.kernel} can be read by root only"
        copy = f"mkdir -p {cache()} && sudo install -m 0644 {shlex.quote(str(tools.kernel))} {cache()}/"
        return Availability(name, False, detail, copy)
    fault = _try(name, tools.qemu)
    if fault:
        detail = f"{'/dev/kvm' if name == 'kvm' else 'QEMU'} is unusable ({fault})"
        return Availability(name, False, detail, "--on uml or --on tcg" if name == "kvm" else "--on uml")
    return Availability(name, True, f"Linux {tools.kernel.name.removeprefix('vmlinuz-')}, {tools.kernel}")


def _is_ubuntu() -> bool:
    release = Path("/etc/os-release")
    return release.exists() and "ID=ubuntu" in release.read_text().splitlines()


def lacking(tools: Tools, *, ubuntu: bool) -> tuple[list[str], list[str]]:
    """What is not there, in words, and the commands that install it."""
    image = "linux-image-generic" if ubuntu else "linux-image-amd64"
    table = [
        (tools.qemu, "qemu-system-x86_64", "qemu-system-x86"),
        (tools.kernel, "a stock kernel with 9p in /boot", image),
        (tools.busybox, "busybox", "busybox-static"),
        (tools.modprobe, "modprobe", "kmod"),
    ]
    packages = [package for found, _, package in table if found is None]
    words = [word for found, word, _ in table if found is None]
    commands = [f"sudo apt-get install {' '.join(packages)}"] if packages else []
    if tools.virtme is None:
        words.append("virtme-ng")
        commands.append(f"{shlex.quote(sys.executable)} -m pip install 'labctl[guest]'")
    return words, commands


def _try(name: str, qemu: str) -> str:
    """Start an empty machine and quit it: "" or QEMU's complaint. An open /dev/kvm may still refuse a processor."""
    machine = ["-machine", f"q35,accel={name}", "-cpu", PROCESSOR[name], "-S", "-nodefaults", "-display", "none"]
    command = [qemu, *machine, "-monitor", "stdio"]
    try:
        tried = subprocess.run(command, input="quit\n", capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as fault:
        return getattr(fault, "strerror", None) or type(fault).__name__
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.strip().splitlines()
    return lines[0].removeprefix("qemu-system-x86_64: ") if lines else f"status {tried.returncode}"


@dataclass(frozen=True, slots=True)
class Export:
    """A directory of the host that QEMU serves to the guest, mounted there at `mount`."""

    directory: Path
    mount: str
    writable: bool

    def option(self, work: Workspace) -> str:
        """The option of virtme-run, which accepts no path with a space or a comma: so it gets a link to it."""
        link = work.root / Path(self.mount).name
        if self.directory != work.root:
            link.symlink_to(self.directory)
        return f"--{'rwdir' if self.writable else 'rodir'}={self.mount}={link if link.is_symlink() else work.root}"


def prepare(name: str, work: Workspace, request: Request) -> Launch:
    """Lay out the job for these engines: exports come in under SHARED, and `inside.py` moves them to their places."""
    written = directories(request.writable)
    lost = [path for path in hidden(request.readable, VIRTME_COVERS) if path not in written]
    kept = [path for path in hidden(request.readable, COVERS) if path not in written]
    exports = [Export(work.root, JOB, True)]
    shares = [Share(str(path), str(path)) for path in kept]
    for number, path in enumerate((*written, *lost), 1):
        directory = path if path.is_dir() else path.parent
        exports.append(Export(directory, f"{SHARED}/share-{number}", path in written))
        shares.append(Share(str(path), str(Path(exports[-1].mount) / path.relative_to(directory))))
    job = Job(
        argv=request.argv,
        cwd=str(Path.cwd()),
        environment=environment(request.environment),
        covers=COVERS,
        shares=outer_first(shares),
        modules=MODULES,
        heard=request.heard,
    )
    options = [export.option(work) for export in exports]
    called = command(name, find(), options, request.channel)
    passed = () if request.channel is None else (request.channel,)
    return Launch(job, called, host_environment(work), frozenset(os.sched_getaffinity(0)), passed=passed)


def command(name: str, tools: Tools, exports: Sequence[str], channel: int | None = None) -> list[str]:
    """The call of virtme-run. What it runs is a line for a shell, hence the one place where words are quoted."""
    script = shlex.join([f"{JOB}/python", "-I", "-S", f"{JOB}/inside.py", JOB])
    options = [f"--kopt={option}" for option in ("quiet", "loglevel=3", *KERNEL_OPTIONS[name])]
    # The accelerator is named again: virtme would let QEMU fall back from kvm to emulation without a word.
    qemu = ["-cpu", PROCESSOR[name], *(("-machine", "accel=kvm") if name == "kvm" else ())]
    if channel is not None:
        qemu += ["-chardev", f"socket,id={CHANNEL},fd={channel}", "-device", "virtio-serial"]
        qemu += ["-device", f"virtserialport,chardev={CHANNEL},name={CHANNEL}"]
    return [
        str(tools.virtme),
        *("--kimg", str(tools.kernel), "--mods", "auto", "--force-9p", "--show-boot-console"),
        *("--memory", MEMORY, "--cpus", "2", "--qemu-bin", str(tools.qemu), "--busybox", str(tools.busybox)),
        *(("--disable-kvm",) if name == "tcg" else ()),
        *exports,
        *options,
        *("--script-sh", script),
        *("--qemu-opts", *qemu),
    ]


def host_environment(work: Workspace) -> dict[str, str]:
    """virtme keeps an initramfs and its result in temporary files: they go with the job's directory."""
    return {**os.environ, "TMPDIR": str(work.root)}
