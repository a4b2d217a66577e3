"""The order of the layers, the purity of the pure modules, and the homes of what may be in one place only.

The order and the pure layers are read from the docstring of `labctl/__init__.py`: it is what these tests hold.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]

MOST_LINES = 320

ACTING = {
    *("os", "socket", "subprocess", "time", "random", "secrets", "threading", "multiprocessing", "select", "ctypes"),
    *("fcntl", "signal", "shutil", "tempfile", "asyncio", "pathlib", "pyroute2", "scapy"),
}
"""What a pure module does not import: all that depends on the machine, the clock or chance."""

ALSO_PURE = {
    f"labctl.{name}"
    for name in (
        *(
            f"probes.{each}"
            for each in ("bpf", "deeds", "evidence", "httpanswer", "packets", "pcap", "throughput", "ways", "wire")
        ),
        "probes.lookups",
        *(f"services.{each}" for each in ("bfd", "bfdpacket", "vrrptext", "webanswer")),
        "guest.choice",
        "guest.frames",
    )
}
"""Pure modules inside layers that act."""

HOMES = {
    "scapy": lambda module: module.startswith("labctl.probes.") and module != "labctl.probes.session",
    "pyroute2": lambda module: module.startswith("labctl.kernel."),
    "typer": lambda module: module.startswith("labctl.cli"),
    "rich": lambda module: module.startswith("labctl.cli"),
    "yaml": lambda module: module in ("labctl.description.reader", "labctl.description.broken"),
    "dnslib": lambda module: module.startswith(("labctl.resolver.", "labctl.probes.")),
}
"""Foreign packages, and the modules that may import each."""

NAMESPACE_DOORS = {"labctl.kernel.netns", "labctl.kernel.scratch"}
"""Who may make or enter a namespace."""


@dataclass(frozen=True)
class Module:
    """A module: its name, its text, and what it imports (module, line); `from a import b` counts as a and as a.b."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    def imports(self, *, deferred: bool = True) -> Iterator[tuple[str, int]]:
        """Every import; without `deferred` those inside functions are left out."""
        for node in _nodes(self.tree, deferred):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                base = node.module if not node.level else ".".join([*self.name.split(".")[: -node.level], node.module])
                yield base, node.lineno
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def _nodes(tree: ast.AST, deferred: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if deferred or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from _nodes(child, deferred)


def modules(root: Path) -> list[Module]:
    found = []
    for path in sorted((root / "labctl").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text()
        found.append(Module(name, path, parsed(text), len(text.splitlines())))
    return found


@functools.cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


def layers(root: Path) -> dict[str, bool]:
    """The layers in their order, and whether each is pure, as the docstring of the package states them."""
    stated = ast.get_docstring(ast.parse((root / "labctl" / "__init__.py").read_text())) or ""
    rows = re.findall(r"^    (\w+) +(pure)?  +\S", stated, re.MULTILINE)
    return {name: pure == "pure" for name, pure in rows}


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def order_faults(root: Path) -> list[str]:
    """Imports of something that stands below the importer, and layers that the docstring does not name."""
    order = list(layers(root))
    faults = []
    for module in modules(root):
        own = layer(module.name)
        if own in ("", "__main__"):
            continue
        if own not in order:
            faults.append(f"{module.name} belongs to no layer of the docstring")
            continue
        for name, line in module.imports():
            other = layer(name) if name.startswith("labctl.") else ""
            if other in order and order.index(other) > order.index(own):
                faults.append(f"{module.name}:{line} imports {name}, which stands below {own}")
    return faults


def purity_faults(root: Path) -> list[str]:
    """Pure modules that import what acts, be it a foreign module or one of ours that is not pure."""
    stated = layers(root)
    every = {module.name for module in modules(root)}
    pure = {name for name in every if stated.get(layer(name)) or name in ALSO_PURE}
    packages = {name for name in every if (root / Path(*name.split("."))).is_dir()}
    faults = [f"{name} is not there" for name in sorted(ALSO_PURE - every)] if root == TOP else []
    for module in modules(root):
        for name, line in module.imports() if module.name in pure else ():
            foreign = name.split(".")[0] in ACTING
            if foreign or (name in every and name not in pure | packages):
                faults.append(f"{module.name}:{line} is pure and imports {name}")
    return faults


def home_faults(root: Path) -> list[str]:
    """Foreign packages, namespaces and shells outside their homes."""
    faults = []
    for module in modules(root):
        for name, line in module.imports():
            allowed = HOMES.get(name.split(".")[0])
            if allowed and not allowed(module.name):
                faults.append(f"{module.name}:{line} imports {name} away from its home")
            if name.startswith("scapy.all"):
                faults.append(f"{module.name}:{line} imports {name}, which opens sockets and is slow")
        for node in ast.walk(module.tree):
            word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if word in ("setns", "unshare") and module.name not in NAMESPACE_DOORS:
                faults.append(f"{module.name}:{node.lineno} enters namespaces by {word}")
            if isinstance(node, ast.keyword) and node.arg == "shell":
                faults.append(f"{module.name}:{node.value.lineno} runs a shell")
    return faults


def size_faults(root: Path) -> list[str]:
    found = modules(root)
    return [f"{each.name} has {each.lines} lines, at most {MOST_LINES}" for each in found if each.lines > MOST_LINES]


CHECKERS = [order_faults, purity_faults, home_faults, size_faults]


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_the_layers_are_kept(checker: object) -> None:
    assert callable(checker)
    assert checker(TOP) == []


def test_the_docstring_names_every_layer_once_and_in_an_order() -> None:
    order = list(layers(TOP))
    package = TOP / "labctl"
    children = {path.stem for path in [*package.glob("*.py"), *(init.parent for init in package.glob("*/__init__.py"))]}
    assert set(order) == children - {"__init__", "__main__"}
    assert order.index("errors") == 0
    assert order[-1] == "cli"


def test_the_command_imports_nothing_heavy_before_it_needs_it() -> None:
    heavy = {"scapy", "pyroute2", "rich", "dnslib", "subprocess"}
    package = [module for module in modules(TOP) if module.name in ("labctl", "labctl.cli", "labctl.__main__")]
    found = [name for module in package for name, _ in module.imports(deferred=False) if name.split(".")[0] in heavy]
    assert found == []


PLANTED = [
    ("model/network.py", "from labctl.kernel import netns\n", order_faults),
    ("plan/deep.py", "def f():\n    from labctl.cli.app import app\n    return app\n", order_faults),
    ("kernel/up.py", "import labctl.services.server\n", order_faults),
    ("kinds/relative.py", "from ..plan import objects\n", order_faults),
    ("extras/new.py", "", order_faults),
    ("description/clock.py", "import time\n", purity_faults),
    ("kinds/chance.py", "from random import choice\n", purity_faults),
    ("report/file.py", "import os.path\n", purity_faults),
    ("probes/wire.py", "import socket\n", purity_faults),
    ("claims/verdicts.py", "import socket\n", purity_faults),
    ("describe.py", "from labctl.probes import session\n", purity_faults),
    ("probes/session.py", "from scapy.layers.inet import IP\n", home_faults),
    ("lab.py", "import pyroute2\n", home_faults),
    ("probes/taps.py", "from scapy.all import IP\n", home_faults),
    ("kernel/links.py", "import os\nos.setns(3)\n", home_faults),
    ("services/door.py", "from labctl.kernel.netns import libc\nlibc.unshare(1)\n", home_faults),
    ("kernel/run.py", "import subprocess\nsubprocess.run('true', shell=True)\n", home_faults),
    ("lab.py", "x = 1\n" * (MOST_LINES + 1), size_faults),
]


@pytest.mark.parametrize(("place", "text", "checker"), PLANTED, ids=[place for place, _, _ in PLANTED])
def test_a_planted_violation_is_caught(tmp_path: Path, place: str, text: str, checker: object) -> None:
    assert callable(checker)
    for name in ("labctl", "labctl/probes", "labctl/kernel", "labctl/services"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "labctl" / "__init__.py").write_text((TOP / "labctl" / "__init__.py").read_text())
    (tmp_path / "labctl" / "probes" / "session.py").write_text("import subprocess\n")
    assert checker(tmp_path) == []
    planted = tmp_path / "labctl" / place
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(text)
    faults = checker(tmp_path)
    assert faults
    assert all(".".join(Path("labctl", place).with_suffix("").parts) in fault for fault in faults)
