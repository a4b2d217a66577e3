"""Network namespaces of a lab: the only module that unshares, enters, binds and unbinds them.

A namespace belongs to a thread, not to a process. Every bound namespace of a lab lies in one tmpfs of the lab's own,
so that one unmount ends them all; symbolic links beside it let `ip netns exec LAB-NODE` find them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from labctl.errors import HostError, StateError
from labctl.kernel.paths import Paths

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 2, 4, 8, 0x1000, 0x4000, 1 << 18, 1 << 19
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
MINE = Path("/proc/thread-self/ns/net")
"""The namespace that the calling thread is in."""
_MINE = os.fsencode(MINE)
T = TypeVar("T")
_NO_ROOT = "run as root, or in a guest kernel (--on auto)"


@contextlib.contextmanager
def enter(path: Path) -> Iterator[None]:
    """The calling thread is in the namespace bound at `path` until the block ends.

    Sockets opened and children started meanwhile belong there. StateError: `path` is not a namespace; HostError: no
    privilege. See setns(2).
    """
    with _opened(MINE) as home:
        try:
            with _opened(path) as there:
                _setns(there, path)
            yield
        finally:
            _setns(home, MINE)


def tour(paths: Paths, nodes: Iterable[str]) -> Iterator[str]:
    """Be in the namespace of each of `nodes` in turn, those that are not there left out, and at home again afterwards.

    One entering a node, where `enter` would go home in between. HostError: no privilege.
    """
    folder = paths.namespaces
    with _opened(MINE) as home, _opened(folder) as place:
        try:
            for node in nodes:
                try:
                    there = os.open(node, os.O_RDONLY | os.O_CLOEXEC, dir_fd=place)
                except OSError:
                    continue
                try:
                    _setns(there, folder)
                except StateError:
                    continue  # a file, and no namespace bound to it
                finally:
                    os.close(there)
                yield node
        finally:
            _setns(home, MINE)


def name(paths: Paths, node: str) -> None:
    """Give the namespace of `node` its name under /run/netns again. StateError where something foreign bears it."""
    link = paths.link(node)
    try:
        if not _is_ours(paths, link.name):
            paths.netns.mkdir(mode=0o755, parents=True, exist_ok=True)
            link.symlink_to(paths.namespace(node))
    except OSError as error:
        raise StateError(f"{link} is in the way: {error.strerror}") from error


def exists(paths: Paths, node: str) -> bool:
    """Whether the namespace of `node` is there to be entered."""
    return _mounted(paths.namespace(node))


def make_ready(paths: Paths, nodes: Sequence[str]) -> None:
    """Prepare the places of fresh namespaces for `nodes`.

    StateError, with nothing made, where one of them exists, or where something that is not this lab's bears its name.
    HostError where the machine forbids it.
    """
    _refuse_foreign(paths, nodes)
    try:
        paths.netns.mkdir(mode=0o755, parents=True, exist_ok=True)
        _mount_tmpfs(paths)
    except OSError as error:
        raise HostError(f"cannot prepare {paths.namespaces}: {error.strerror}", hint=_hint(error)) from error


def leave_for_new() -> None:
    """Go into a fresh namespace that has no name yet. For a process that has nothing to do elsewhere. HostError."""
    try:
        _check(_libc.unshare(_CLONE_NEWNET), MINE)
    except OSError as error:
        raise HostError(f"cannot make a namespace: {error.strerror}", hint=_hint(error)) from error


def go_into(fd: int) -> None:
    """Go into an open namespace, for good. HostError: no privilege."""
    _setns(fd, Path(f"/proc/self/fd/{fd}"))


def bind(paths: Paths, node: str) -> None:
    """Make the namespace that the calling thread is in that of `node`, after `make_ready`. StateError, HostError."""
    try:
        _bind(paths, node)
    except FileExistsError as error:
        raise StateError(f"{error.filename2 or error.filename} is in the way") from error
    except OSError as error:
        raise HostError(
            f"cannot make namespace {paths.link(node).name}: {error.strerror}", hint=_hint(error)
        ) from error


def within(fd: int, home: int, act: Callable[[], T]) -> T:
    """What `act` returns, done in the open namespace `fd` by a thread whose own is `home`: `enter` for many."""
    go_into(fd)
    try:
        return act()
    finally:
        _setns(home, MINE)


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
        if _is_ours(paths, paths.link(node).name):
            _attempt(failures, paths.link(node).unlink)
        _unmount(failures, paths.namespace(node))
        _attempt(failures, paths.namespace(node).unlink)
    _report(failures)


def destroy(paths: Paths) -> None:
    """End every namespace of the lab and remove their names; nothing of another lab or tool is touched.

    Works on whatever a crash left, and twice. StateError tells every failure at once.
    """
    failures: list[str] = []
    _unlink_names(failures, paths)
    _unmount(failures, paths.namespaces)
    # Removing the mount point also detaches the copies of the mount that `ip netns exec` made (rmdir(2) does so since
    # Linux 3.19); else one forgotten shell in one node would keep every namespace of the lab alive.
    _attempt(failures, paths.namespaces.rmdir)
    _report(failures)


def _refuse_foreign(paths: Paths, nodes: Sequence[str]) -> None:
    names = _names(paths.netns)
    for node in nodes:
        name = f"{paths.lab}-{node}"
        if name in names and not _is_ours(paths, name):
            raise StateError(
                f"{paths.link(node)} is in the way: it does not belong to lab {paths.lab}",
                hint=f"remove it (ip netns del {name}) or give the lab another name",
            )
    for node in sorted(_names(paths.namespaces).intersection(nodes)):
        if exists(paths, node):
            raise StateError(f"namespace {paths.link(node).name} exists already", hint=f"labctl down {paths.lab}")


def _mount_tmpfs(paths: Paths) -> None:
    paths.namespaces.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _mounted(paths.namespaces):
        _mount("labctl", paths.namespaces, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=0755")
        # Private: otherwise each namespace would be mounted in every sandbox of the host's services as well.
        _mount("none", paths.namespaces, "", _MS_PRIVATE)


def _bind(paths: Paths, node: str) -> None:
    place, link = f"{paths.namespaces}/{node}", paths.link(node)
    os.close(os.open(place, os.O_CREAT | os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444))
    _check(_libc.mount(_MINE, place.encode(), b"", ctypes.c_ulong(_MS_BIND), b""), place)
    try:
        link.symlink_to(place)
    except FileExistsError:
        if not _is_ours(paths, link.name):
            raise


def _unlink_names(failures: list[str], paths: Paths) -> None:
    start = f"{paths.lab}-"
    names = sorted(name for name in _names(paths.netns) if name.startswith(start) and _is_ours(paths, name))
    if names:
        with _opened(paths.netns) as folder:
            for name in names:
                _attempt(failures, partial(os.unlink, name, dir_fd=folder))


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except FileNotFoundError:
        return set()


def _is_ours(paths: Paths, name: str) -> bool:
    """Whether the entry `name` of /run/netns is a symbolic link to a namespace of this lab."""
    try:
        return os.readlink(f"{paths.netns}/{name}").rpartition("/")[0] == str(paths.namespaces)  # noqa: PTH115
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


def _hint(error: OSError) -> str:
    return _NO_ROOT if error.errno in (errno.EPERM, errno.EACCES) else ""


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    texts = (source.encode(), os.fsencode(target), kind.encode())
    _check(_libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), target)


def _check(result: int, path: Path | str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))


_libc = ctypes.CDLL(None, use_errno=True)
