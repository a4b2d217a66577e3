"""The first program of a guest: makes its file tree, runs the job, leaves the status on the shared directory.

It is copied beside the job and run by `python -I -S`, so it imports the standard library only, never labctl.
Everything is loaded before the first mount, because a mount may cover the library it came from.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

MS_NOSUID = 2
AT_FDCWD = -100
# open_tree(2) and move_mount(2), Linux 5.2: a path is kept in hand while a tmpfs comes over it. One number everywhere.
SYS_OPEN_TREE, SYS_MOVE_MOUNT = 428, 429
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, AT_RECURSIVE = 1, os.O_CLOEXEC, 0x8000
MOVE_MOUNT_F_EMPTY_PATH = 4
LINUX_REBOOT_CMD_POWER_OFF = 0x4321FEDC
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

HEARING_S = 0.05

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

KERNEL_FILES = [("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", "/sys/fs/cgroup"), ("devpts", "/dev/pts")]
DEVICE_LINKS = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}


def check(result: int, what: str) -> int:
    """Pass a C result on, or raise the OSError that errno holds."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)
    return result


def mount(fstype: str, target: str, data: str = "") -> None:
    """mount(2), with the data as one untouched string (a hostfs path may hold commas)."""
    arguments = (fstype.encode(), target.encode(), fstype.encode(), MS_NOSUID, data.encode() or None)
    check(LIBC.mount(*arguments), target)


def hold(path: str) -> int:
    """A detached copy of the mounts at `path`, as a descriptor."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    return check(LIBC.syscall(SYS_OPEN_TREE, AT_FDCWD, path.encode(), flags), path)


def attach(held: int, target: str) -> None:
    """Mount what `hold` returned at `target`, which is made where it is not there."""
    make_target(Path(target), directory=stat.S_ISDIR(os.fstat(held).st_mode))
    check(LIBC.syscall(SYS_MOVE_MOUNT, held, b"", AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH), target)
    os.close(held)


def make_target(target: Path, *, directory: bool) -> None:
    if directory:
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def boot() -> None:
    """What an init has to do: the kernel's own file systems, device links, the loopback interface."""
    for fstype, target in KERNEL_FILES:
        Path(target).mkdir(exist_ok=True)
        mount(fstype, target)
    for name, target in DEVICE_LINKS.items():
        link = Path("/dev") / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"/proc/self/{target}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack("16xh22x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def arrange(covers: list[str], shares: list[dict[str, str]]) -> None:
    """Put an empty tmpfs over each of `covers`, and each share at its path, outer ones first."""
    held = {share["path"]: hold(share["source"]) for share in shares if not share["fstype"]}
    for cover in covers:
        Path(cover).mkdir(parents=True, exist_ok=True)
        mount("tmpfs", cover)
        Path(cover).chmod(0o1777 if cover != "/run" else 0o755)
    for share in shares:
        path = share["path"]
        if share["fstype"]:
            make_target(Path(path), directory=True)
            mount(share["fstype"], path, share["source"])
        else:
            attach(held[path], path)
    for directory in ("/run/netns", "/run/lock", "/run/home"):
        Path(directory).mkdir(parents=True, exist_ok=True)


def load(modules: list[str]) -> None:
    """Load what a stock kernel keeps in modules; an absent one shows later, where it is needed."""
    if modules:
        subprocess.run(["/sbin/modprobe", "-a", "-q", *modules], check=False)
    tun = Path("/dev/net/tun")
    if tun.exists():
        tun.chmod(0o666)


def execute(job: dict[str, Any], directory: Path) -> int:
    """Run the job with its streams on the shared directory; the exit status, 128 + n for the signal n.

    Orphans come to process 1, so every child is awaited until the job's own turns up.
    """
    with (directory / "stdout").open("ab", 0) as out, (directory / "stderr").open("ab", 0) as err:
        try:
            process = subprocess.Popen(
                job["argv"],
                stdin=hear(directory) if job["heard"] else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=job["cwd"],
                env=job["environment"],
                start_new_session=True,
            )
        except OSError as fault:
            err.write(f"{job['argv'][0]}: {fault.strerror}\n".encode())
            return 127
        while True:
            pid, status = os.wait()
            if pid == process.pid:
                code = os.waitstatus_to_exitcode(status)
                process.returncode = code
                return code if code >= 0 else 128 - code


def hear(directory: Path) -> int:
    """The end to read from of a pipe that is fed with the files stdin-0, stdin-1, ... until an empty one."""
    heard, told = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(told, "wb", 0) as pipe:
            for number in itertools.count():
                piece = directory / f"stdin-{number}"
                while not piece.exists():
                    time.sleep(HEARING_S)
                data = piece.read_bytes()
                if not data:
                    return
                pipe.write(data)

    threading.Thread(target=feed, daemon=True).start()
    return heard


def finish(directory: Path, name: str, text: str) -> None:
    """Write a file that appears only when it is whole."""
    part = directory / f"{name}.part"
    part.write_text(text)
    part.rename(directory / name)


def carry_out(job: dict[str, Any], directory: Path) -> None:
    """Set the guest up and run the job in it."""
    if os.getpid() == 1:
        boot()
    arrange(job["covers"], job["shares"])
    load(job["modules"])
    finish(directory, "started", "")
    status = execute(job, directory)
    os.sync()
    finish(directory, "status", str(status))


def main() -> None:
    """Carry out the job that lies in the directory given as the only argument, or leave there why it cannot be."""
    directory = Path(sys.argv[1])
    try:
        carry_out(json.loads((directory / "job.json").read_text()), directory)
    except OSError as fault:
        finish(directory, "fault", str(fault))
    if os.getpid() == 1:
        LIBC.reboot(LINUX_REBOOT_CMD_POWER_OFF)


if __name__ == "__main__":
    main()
