"""A TCP port on loopback that leads to a server's socket, for clients that speak nothing else."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def pump(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes until the end of it."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def door(folder: Path | str, port: int | str) -> Iterator[int]:
    """The number of a port on loopback that leads to the server whose socket is in this folder."""

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as inside:
                inside.connect(str(Path(folder) / f".s.PGSQL.{port}"))
                back = threading.Thread(target=pump, args=(inside, self.request))
                back.start()
                pump(self.request, inside)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Door) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
