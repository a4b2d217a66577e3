"""What the kernel refuses becomes an error with the object, the error number and the kernel's own words."""

from __future__ import annotations

import errno
import struct

from labctl.errors import KernelError
from labctl.kernel.netlink import Connection, Message, attribute

HEADER = struct.Struct("=IHHII")


class FakeSocket:
    """Answers what it was given, in order; keeps what was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        return self.answers.pop(0)


def connection(*answers: bytes) -> Connection:
    made = Connection.__new__(Connection)
    made._socket = FakeSocket(*answers)  # type: ignore[assignment]
    made._sequence = 0
    return made


def reply(sequence: int, code: int = 0, words: str = "", *, echo: bytes | None = None) -> bytes:
    """An NLMSG_ERROR as netlink(7) describes it: capped, or with the whole request in it."""
    flags = 0x200 if words else 0
    if echo is None:
        flags |= 0x100
    request = HEADER.pack(16 + len(echo or b""), 24, 0, sequence, 0) + (echo or b"")
    body = struct.pack("=i", -code) + request
    if words:
        body += attribute(2, b"\0\0\0\0") + attribute(1, words.encode() + b"\0")
    return HEADER.pack(16 + len(body), 2, flags, sequence, 0) + body


def message(what: str, **more: object) -> Message:
    return Message(24, 0, b"", what, subject=what, **more)  # type: ignore[arg-type]


def refused(made: Connection, *messages: Message) -> KernelError | None:
    try:
        made.send(messages)
    except KernelError as error:
        return error
    return None


def test_only_the_last_message_of_a_batch_asks_for_an_answer() -> None:
    made = connection(reply(3))
    assert refused(made, message("one"), message("two"), message("three")) is None
    sent = made._socket.sent[0]  # type: ignore[attr-defined]
    assert [HEADER.unpack_from(sent, offset)[2:4] for offset in (0, 16, 32)] == [(1, 1), (1, 2), (5, 3)]


def test_the_message_that_was_refused_is_named() -> None:
    error = refused(
        connection(reply(2, errno.ENETUNREACH, "No way.") + reply(3)), *map(message, ("one", "two", "three"))
    )
    assert error is not None
    assert (error.subject, error.errno) == ("two", errno.ENETUNREACH)
    assert error.message == "cannot two: No way (Network is unreachable)"


def test_the_first_of_several_refusals_is_told() -> None:
    error = refused(connection(reply(1, errno.EPERM), reply(2, errno.EEXIST)), message("one"), message("two"))
    assert error is not None
    assert error.message == "cannot one: Operation not permitted"


def test_the_words_are_found_behind_an_echoed_request() -> None:
    error = refused(connection(reply(1, errno.EINVAL, "Too odd", echo=bytes(10) + bytes(2))), message("one"))
    assert error is not None
    assert error.message == "cannot one: Too odd (Invalid argument)"


def test_what_is_tolerated_is_no_error() -> None:
    assert refused(connection(reply(1, errno.ESRCH)), message("one", tolerated=(errno.ESRCH,))) is None


def test_a_missing_mechanism_is_named_in_the_hint() -> None:
    error = refused(connection(reply(1, errno.EOPNOTSUPP)), message("one", mechanism="GRE"))
    assert error is not None
    assert "GRE" in error.hint
    error = refused(connection(reply(1, errno.EEXIST)), message("one", mechanism="GRE"))
    assert error is not None
    assert error.hint == ""


def test_answers_to_earlier_requests_are_passed_over() -> None:
    made = connection(reply(99, errno.EPERM) + reply(1))
    assert refused(made, message("one")) is None


def test_many_messages_go_in_several_batches() -> None:
    made = connection(reply(64), reply(128), reply(130))
    assert refused(made, *(message(str(i)) for i in range(130))) is None
    assert len(made._socket.sent) == 3  # type: ignore[attr-defined]


def test_a_broken_socket_is_an_error_of_the_first_message() -> None:
    class Broken(FakeSocket):
        def send(self, data: bytes) -> int:
            raise OSError(errno.ENOBUFS, "full")

    made = connection()
    made._socket = Broken()  # type: ignore[assignment]
    error = refused(made, message("one"))
    assert error is not None
    assert error.errno == errno.ENOBUFS
