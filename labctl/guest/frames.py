"""The messages between commands on the host and their jobs in a guest: frames on one byte stream, many jobs at once.

Data flows as far as its receiver has given credit and no further, so that a job whose output nobody reads, or that
reads no input, holds up no other one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum

WINDOW = 1 << 18
"""The credit in bytes that each stream of a job begins with."""

PIECE = 1 << 15
"""The most bytes of a stream in one frame: others get their turn between two."""

PACE = 3072
"""The most bytes on their way into a guest that it has not read: fewer than the 4096 that a serial line holds there.
Once that is full User-Mode Linux takes no input any more, for good."""

MOST = 1 << 22
"""The most bytes that any payload can have; a greater length shows that this is no stream of frames."""

_HEADER = struct.Struct("!IBI")
_CREDIT = struct.Struct("!BI")
_READ = struct.Struct("!I")
_SIZE = struct.Struct("!HH")


class Kind(IntEnum):
    """What a frame says, and what its payload is."""

    HELLO = 1
    """The guest takes jobs from now on."""
    START = 2
    """A `Start`: begin a job."""
    INPUT = 3
    """Bytes for the job's standard input; none: its end."""
    OUTPUT = 4
    """Bytes of the job's standard output, or of its terminal."""
    ERRORS = 5
    """Bytes of the job's standard error."""
    CREDIT = 6
    """So many more bytes of a stream are welcome: see `credit`."""
    CLOSED = 7
    """Nobody reads the stream any more whose kind is the one byte of the payload."""
    RESIZE = 8
    """The terminal has a new size: see `size`."""
    SIGNAL = 9
    """A signal for the job's process group, one byte."""
    EXIT = 10
    """The job's exit status, one byte: the last frame of a job."""
    FAULT = 11
    """Why there is no exit status and will be none, a text: the last frame of a job."""
    STOP = 12
    """End the guest."""
    READ = 13
    """The guest has read so many bytes off the channel: see `read`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `job` is a number that the host's side chose, 0 where it concerns the guest as a whole."""

    job: int
    kind: Kind
    payload: bytes = b""

    def packed(self) -> bytes:
        """As it goes over the wire."""
        return _HEADER.pack(self.job, self.kind, len(self.payload)) + self.payload


class Reader:
    """Makes frames of a byte stream, wherever that is split."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. ValueError where these bytes are no frames."""
        self._rest += data
        frames: list[Frame] = []
        begin = 0
        while len(self._rest) - begin >= _HEADER.size:
            job, kind, length = _HEADER.unpack_from(self._rest, begin)
            if length > MOST:
                raise ValueError(f"a frame of {length} bytes")
            end = begin + _HEADER.size + length
            if len(self._rest) < end:
                break
            frames.append(Frame(job, Kind(kind), bytes(self._rest[end - length : end])))
            begin = end
        del self._rest[:begin]
        return frames


@dataclass(frozen=True, slots=True)
class Start:
    """A job: `labctl` with `words`. `cwd` is made where the guest has none.

    `terminal`: rows and columns, where it is to run at one; `heard`: it is given input; `shown`: what lies in the
    guest's workspace and is to be seen elsewhere as long as the job runs, of the first job as long as the guest does:
    relative path by absolute path.
    """

    words: Sequence[str]
    cwd: str
    environment: Mapping[str, str]
    terminal: tuple[int, int] | None = None
    heard: bool = False
    shown: Mapping[str, str] | None = None

    def packed(self) -> bytes:
        """As a payload."""
        return json.dumps(asdict(self)).encode()


def started(payload: bytes) -> Start:
    """What `Start.packed` made."""
    data = json.loads(payload)
    terminal = data.pop("terminal")
    return Start(terminal=terminal and (terminal[0], terminal[1]), **data)


def credit(stream: Kind, amount: int) -> bytes:
    """The payload of CREDIT."""
    return _CREDIT.pack(stream, amount)


def credited(payload: bytes) -> tuple[Kind, int]:
    """What `credit` made. ValueError where it did not."""
    if len(payload) != _CREDIT.size:
        raise ValueError(f"a credit of {len(payload)} bytes")
    stream, amount = _CREDIT.unpack(payload)
    return Kind(stream), amount


def size(rows: int, columns: int) -> bytes:
    """The payload of RESIZE."""
    return _SIZE.pack(rows, columns)


def sized(payload: bytes) -> tuple[int, int]:
    """What `size` made. ValueError where it did not."""
    if len(payload) != _SIZE.size:
        raise ValueError(f"a terminal's size of {len(payload)} bytes")
    rows, columns = _SIZE.unpack(payload)
    return rows, columns


def read(count: int) -> bytes:
    """The payload of READ."""
    return _READ.pack(count)


def was_read(payload: bytes) -> int:
    """What `read` made. ValueError where it did not."""
    if len(payload) != _READ.size:
        raise ValueError(f"a count of {len(payload)} bytes")
    count: int = _READ.unpack(payload)[0]
    return count
