"""New descriptions: a file of a name of its own, which takes the place of no other unless that is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

from labctl.description.words import NAME
from labctl.errors import HostError, UsageError
from labctl.shapes import describe_shape, shape


def create(name: str, shape_name: str, nodes: int, output: str, *, force: bool) -> None:
    """Write a lab of a plain shape to `output` ("": NAME.yaml, "-": standard output) and say so on standard error.

    UsageError where there is no such shape, the name is none, or the file is there already without `force`.
    """
    lab = name or f"{shape_name}-{nodes}"
    text = describe_shape(shape_name, shape(shape_name, nodes), _checked(lab))
    if output == "-":
        sys.stdout.write(text)
        return
    path = Path(output or f"{lab}.yaml")
    _put(path, text, force=force)
    print(f"{path}: try it with `labctl run {path}`", file=sys.stderr)


def _checked(lab: str) -> str:
    try:
        return NAME.parse(lab)
    except ValueError as error:
        raise UsageError(f"`{lab}` cannot be the name of a lab: {error}") from None


def _put(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="--force writes over it") from None
    except OSError as error:
        raise HostError(f"{path}: cannot be written: {error.strerror}") from error
