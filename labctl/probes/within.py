"""`python -m labctl.probes.within TELL NAMESPACE FILES PROGRAM [ARGUMENT...]`: this process becomes PROGRAM in a node.

FILES holds what it sees in place of the host's files: each line the path, a tab and the path of the content. What keeps
it from that is written to the file descriptor TELL, which is closed, with nothing written, as the program begins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from labctl.errors import LabError
from labctl.kernel import netns


def main(arguments: Sequence[str]) -> None:
    """Become the program; return where that failed and was told."""
    tell, namespace, table, *command = arguments
    os.set_inheritable(int(tell), False)
    rows = [line.split("\t") for line in Path(table).read_text().splitlines()]
    try:
        with netns.enter(Path(namespace)):
            netns.settle({Path(place): Path(content) for place, content in rows})
            os.execvp(command[0], command)
    except LabError as error:
        os.write(int(tell), error.message.encode())
    except OSError as error:
        os.write(int(tell), f"{command[0]}: {error.strerror}".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
