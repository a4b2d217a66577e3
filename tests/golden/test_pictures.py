"""The pictures in docs/ are what reports draw of the shipped topologies.

After a deliberate change: LABCTL_GOLDEN=write pytest tests/golden, and look at them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from labctl.description.document import parse
from labctl.description.sources import read_tree
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.resolve import resolve
from labctl.report.markup import tag, written
from labctl.report.picture import draw
from labctl.report.style import DRAWING, LIGHT

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "root"), [("vpn-dc-failover", "dc-host"), ("vpe-subnet", "vsi1")])
def test_the_pictures_of_the_manual_are_drawn_from_the_topologies(name: str, root: str) -> None:
    file = TOP / "topologies" / f"{name}.yaml"
    document = parse(read_tree(file.read_bytes(), file.name), KINDS, ALIASES)
    kinds = {resource: each.kind for resource, each in document.resources.items()}
    svg = draw(resolve(document), kinds, root).whole(f"The lab {name}")
    # Alone, outside of a page: the style within, for viewers that know nothing of custom properties.
    style = re.sub(r"var\(--([\w-]+)\)", lambda found: LIGHT[found[1]], DRAWING)
    svg.insert(0, tag("rect", width="100%", height="100%", fill=LIGHT["paper"]))
    svg.insert(0, tag("style", style))
    golden = TOP / "docs" / f"{name}.svg"
    text = written(svg, "xml").replace("><", ">\n<") + "\n"
    if os.environ.get("LABCTL_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()
