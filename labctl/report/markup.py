"""Elements of HTML, SVG and XML as trees. Text becomes markup in one place alone, the serialiser, which escapes it."""

from __future__ import annotations

import re
from typing import Literal
from xml.etree.ElementTree import Element, tostring

SVG_SPACE = "http://www.w3.org/2000/svg"

_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What is no character of XML 1.0 (section 2.2)."""

Child = Element | str | None


def clean(text: str) -> str:
    """`text` with a replacement character for each that XML cannot carry."""
    return _NO_CHARACTER.sub("\ufffd", text)


def tag(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element. None is left out, both as a child and as an attribute's value.

    Python's words get an underscore at the end (`class_`); underscores inside become hyphens.
    """
    plain = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    element = Element(name, {key: clean(str(value)) for key, value in plain.items() if value is not None})
    return add(element, *children)


def add(element: Element, *children: Child) -> Element:
    """`element` with more children at its end."""
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif child and len(element):
            element[-1].tail = (element[-1].tail or "") + clean(child)
        elif child:
            element.text = (element.text or "") + clean(child)
    return element


def written(element: Element, method: Literal["html", "xml"] = "html") -> str:
    """The text of a tree."""
    return tostring(element, encoding="unicode", method=method)
