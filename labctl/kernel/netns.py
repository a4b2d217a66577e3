"""Network namespaces of a lab: the only module that unshares, enters, binds and unbinds them.

A namespace belongs to a thread, not to a process. Every bound namespace of a lab lies in one tmpfs of the lab's own,
so that one unmount ends them all; symbolic links beside it let `ip netns exec LAB-NODE` find them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from labctl.errors import HostError, LabError, StateError
from labctl.kernel.paths import Paths

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 2, 4, 8, 0x1000, 0x4000, 1 << 18, 1 << 19
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_MINE = "/proc/thread-self/ns/net"
_NO_ROOT = "run as root, or in a guest kernel (--on auto)"


@contextlib.contextmanager
def enter(path: Path) -> Iterator[None]:
    """The calling thread is in the namespace bound at `path` until the block ends.

    Sockets opened and children started meanwhile belong there. StateError: `path` is not a namespace; HostError: no
    privilege. See setns(2).
    """
    with _opened(Path(_MINE)) as home:
        with _opened(path) as there:
            _setns(there, path)
        try:
            yield
        finally:
            _setns(home, Path(_MINE))


def exists(paths: Paths, node: str) -> bool:
    """Whether the namespace of `node` is there to be entered."""
    return _mounted(paths.namespace(node))


def create(paths: Paths, nodes: Sequence[str]) -> None:
    """Make a fresh namespace for each of `nodes`, and its name under /run/netns.

    StateError, with nothing made, where something that is not this lab's bears one of the names. HostError where the
    machine forbids it.
    """
    _refuse_foreign(paths, nodes)
    try:
        paths.netns.mkdir(mode=0o755, parents=True, exist_ok=True)
        _mount_tmpfs(paths)
    except OSError as error:
        raise HostError(f"cannot prepare {paths.namespaces}: {error.strerror}", hint=_hint(error)) from error
    _in_thread(lambda: _bind_all(paths, nodes))


def settle(files: Mapping[Path, Path]) -> None:
    """Give this process file systems to match the namespace that it is in: /sys shows its devices, and each file of
    `files` shows the content of another. Nobody else sees any of it. HostError where the machine forbids it.
    """
    try:
        _check(_libc.unshare(_CLONE_NEWNS), Path("/"))
        _mount("", Path("/"), "none", _MS_SLAVE | _MS_REC)
        _mount("sysfs", Path("/sys"), "sysfs", 0)
        for target, content in files.items():
            _mount(str(content), target.resolve(), "none", _MS_BIND)
    except OSError as error:
        raise HostError(f"cannot give the program its own {error.filename}: {error.strerror}") from error


def remove(paths: Paths, nodes: Iterable[str]) -> None:
    """End the namespaces of `nodes`; what is gone already is fine. StateError tells every failure at once."""
    failures: list[str] = []
    for node in nodes:
        if _is_ours(paths, paths.link(node)):
            _attempt(failures, paths.link(node).unlink)
        _unmount(failures, paths.namespace(node))
        _attempt(failures, paths.namespace(node).unlink)
    _report(failures)


def destroy(paths: Paths) -> None:
    """End every namespace of the lab and remove their names; nothing of another lab or tool is touched.

    Works on whatever a crash left, and twice. StateError tells every failure at once.
    """
    failures: list[str] = []
    for link in _links(paths):
        _attempt(failures, link.unlink)
    _unmount(failures, paths.namespaces)
    # Removing the mount point also detaches the copies of the mount that `ip netns exec` made (rmdir(2) does so since
    # Linux 3.19); else one forgotten shell in one node would keep every namespace of the lab alive.
    _attempt(failures, paths.namespaces.rmdir)
    _report(failures)


def _refuse_foreign(paths: Paths, nodes: Sequence[str]) -> None:
    for node in nodes:
        link = paths.link(node)
        if os.path.lexists(link) and not _is_ours(paths, link):
            raise StateError(
                f"{link} is in the way: it does not belong to lab {paths.lab}",
                hint=f"remove it (ip netns del {link.name}) or give the lab another name",
            )
        if exists(paths, node):
            raise StateError(f"namespace {link.name} exists already", hint=f"labctl down {paths.lab}")


def _mount_tmpfs(paths: Paths) -> None:
    paths.namespaces.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _mounted(paths.namespaces):
        _mount("labctl", paths.namespaces, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=0755")
        # Private: otherwise each namespace would be mounted in every sandbox of the host's services as well.
        _mount("none", paths.namespaces, "", _MS_PRIVATE)


def _bind_all(paths: Paths, nodes: Sequence[str]) -> None:
    for node in nodes:
        try:
            _bind(paths, node)
        except FileExistsError as error:
            raise StateError(f"{error.filename2 or error.filename} is in the way") from error
        except OSError as error:
            raise HostError(
                f"cannot make namespace {paths.link(node).name}: {error.strerror}", hint=_hint(error)
            ) from error


def _bind(paths: Paths, node: str) -> None:
    place, link = paths.namespace(node), paths.link(node)
    place.touch(mode=0o444)
    _check(_libc.unshare(_CLONE_NEWNET), place)
    _mount(_MINE, place, "", _MS_BIND)
    if not _is_ours(paths, link):
        link.symlink_to(place)


def _links(paths: Paths) -> list[Path]:
    try:
        names = sorted(paths.netns.iterdir())
    except FileNotFoundError:
        return []
    return [name for name in names if _is_ours(paths, name)]


def _is_ours(paths: Paths, link: Path) -> bool:
    try:
        return link.readlink().parent == paths.namespaces
    except OSError:
        # Not a symbolic link, or not there: either way nothing of this lab.
        return False


def _mounted(path: Path) -> bool:
    try:
        return path.lstat().st_dev != path.parent.lstat().st_dev
    except FileNotFoundError:
        return False


def _unmount(failures: list[str], path: Path) -> None:
    """Unmount until nothing is mounted there, so that two mounts, one over the other, both go."""
    before = len(failures)
    while _mounted(path) and len(failures) == before:
        _attempt(failures, lambda: _check(_libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW), path))


def _attempt(failures: list[str], act: Callable[[], object]) -> None:
    try:
        act()
    except FileNotFoundError:
        pass
    except OSError as error:
        failures.append(f"{error.filename}: {error.strerror}")


def _report(failures: Sequence[str]) -> None:
    if failures:
        raise StateError("could not remove " + "; ".join(failures))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"there is no namespace {path}: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _setns(fd: int, path: Path) -> None:
    try:
        _check(_libc.setns(fd, _CLONE_NEWNET), path)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise StateError(f"{path} is not a network namespace") from error
        raise HostError(f"cannot enter {path}: {error.strerror}", hint=_hint(error)) from error


def _in_thread(work: Callable[[], None]) -> None:
    """Do `work` in a thread that ends with it: unsharing there leaves the caller's namespace alone."""
    raised: list[LabError] = []

    def body() -> None:
        try:
            work()
        except LabError as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _hint(error: OSError) -> str:
    return _NO_ROOT if error.errno in (errno.EPERM, errno.EACCES) else ""


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    texts = (source.encode(), os.fsencode(target), kind.encode())
    _check(_libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), target)


def _check(result: int, path: Path) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))


_libc = ctypes.CDLL(None, use_errno=True)
