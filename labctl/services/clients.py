"""Those who command a supervisor: connections to its control socket, and on each one request a line."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
from collections.abc import Callable
from typing import Any

from labctl.errors import HostError, LabError, StateError
from labctl.kernel.paths import Paths
from labctl.services.control import error_to_data, line, short_path

Data = dict[str, Any]


class Client:
    """A connection of somebody who asks."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""

    def reply(self, data: Data) -> None:
        """Answer; one who does not listen any more loses the answer and nothing else."""
        with contextlib.suppress(OSError):
            self.connection.sendall(line(data))


class Clients:
    """All who ask the supervisor of the lab at `paths`; `obey` carries out each request. OSError without the socket."""

    def __init__(self, paths: Paths, selector: selectors.BaseSelector, obey: Callable[[Data, Client], None]) -> None:
        self._selector = selector
        self._obey = obey
        self._listener = _listen(paths)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # whoever asked has gone already
        connection.settimeout(2.0)
        client = Client(connection)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._listen_to(client))

    def _listen_to(self, client: Client) -> None:
        try:
            chunk = client.connection.recv(1 << 16)
        except OSError:
            chunk = b""
        if not chunk:
            self._selector.unregister(client.connection)
            client.connection.close()
            return
        *requests, client.received = (client.received + chunk).split(b"\n")
        for request in requests:
            self._answer(request, client)

    def _answer(self, request: bytes, client: Client) -> None:
        try:
            self._obey(json.loads(request), client)
        except LabError as error:
            client.reply(error_to_data(error))
        except OSError as error:
            client.reply(error_to_data(HostError(f"the supervisor cannot do that: {error}")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            client.reply(error_to_data(StateError(f"the supervisor does not understand the request: {error}")))


def _listen(paths: Paths) -> socket.socket:
    """The control socket, for its owner alone; one that nobody listens at any more is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    paths.control.unlink(missing_ok=True)
    with short_path(paths.control) as name:
        listener.bind(name)
    paths.control.chmod(0o600)
    listener.listen(64)
    return listener
