"""A port on loopback that leads to the server's socket, for programs that speak TCP only."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def port_to(path: str) -> Iterator[int]:
    """Serve; yields the port."""

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as inside:
                inside.connect(path)
                back = threading.Thread(target=_pump, args=(inside, self.request))
                back.start()
                _pump(self.request, inside)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Door) as listener:
        threading.Thread(target=listener.serve_forever).start()
        try:
            yield int(listener.server_address[1])
        finally:
            listener.shutdown()
