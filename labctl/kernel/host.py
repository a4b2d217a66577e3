"""Facts about the running kernel and its distribution, read from files and never changed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path("/")
# What may keep an unprivileged user namespace from being made or from being of use, and what that says.
_BARRIERS = {
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "Ubuntu's AppArmor takes away what it would permit"),
    "kernel/unprivileged_userns_clone": ("0", "only root may make one"),
    "user/max_user_namespaces": ("0", "none may be made"),
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel that runs.

    `modular`: it can load modules. `shipped`: the modules installed for it, None where there is no such folder (a
    container's, or an older kernel's after an upgrade). `present`: those built in or loaded. `config`: its options
    that are "y" or "m", None where its configuration is not published. `distribution`: ID of /etc/os-release.
    """

    release: str
    modular: bool = True
    shipped: frozenset[str] | None = None
    present: frozenset[str] = frozenset()
    config: dict[str, str] | None = field(default=None)
    distribution: str = ""

    def switched_off(self, options: Iterable[str]) -> tuple[str, ...]:
        """Those of `options` (CONFIG_...) that this kernel is known to have been built without."""
        return () if self.config is None else tuple(each for each in options if each not in self.config)


def kernel(root: Path = _ROOT, release: str = "") -> Kernel:
    """The facts below `root`; `release` as in `uname -r`."""
    release = release or os.uname().release
    folder = root / "lib/modules" / release
    return Kernel(
        release=release,
        modular=(root / "proc/modules").exists(),
        shipped=_module_names(folder / "modules.dep") if folder.is_dir() else None,
        present=_module_names(folder / "modules.builtin") | _listed(root / "sys/module"),
        config=_config(root, release),
        distribution=_distribution(root / "etc/os-release"),
    )


def user_namespaces(root: Path = _ROOT) -> str:
    """Why an unprivileged user namespace does not stand in for root here."""
    for name, (value, reason) in _BARRIERS.items():
        if _text(root / "proc/sys" / name).strip() == value:
            return f"a user namespace does not help: {reason} ({name.replace('/', '.')} = {value})"
    return "a user namespace does not help: /run/netns and /run/labctl belong to root"


def _module_names(listing: Path) -> frozenset[str]:
    """The modules named in modules.dep or modules.builtin; the kernel takes - and _ for the same."""
    paths = (line.partition(":")[0] for line in _text(listing).splitlines())
    return frozenset(Path(path).name.partition(".ko")[0].replace("-", "_") for path in paths)


def _listed(folder: Path) -> frozenset[str]:
    return frozenset(each.name for each in folder.iterdir()) if folder.is_dir() else frozenset()


def _config(root: Path, release: str) -> dict[str, str] | None:
    try:
        text = gzip.decompress((root / "proc/config.gz").read_bytes()).decode()
    except OSError:
        text = _text(root / "boot" / f"config-{release}")
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs if value in ("y", "m")} or None


def _distribution(path: Path) -> str:
    pairs = (line.partition("=") for line in _text(path).splitlines())
    return next((value.strip('"') for name, _, value in pairs if name == "ID"), "")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
