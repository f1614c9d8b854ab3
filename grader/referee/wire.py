"""Messages between the two processes: a JSON head and raw bytes, length-capped. Nothing is pickled.

A message is four bytes (how long the head is), the head (a JSON object whose "blobs" are the lengths of what
follows), and the blobs. Whatever the other side sends, `receive` gives a dict and bytes, or raises `Malformed`.
"""

from __future__ import annotations

import json
import socket
import struct
import time

LENGTH = struct.Struct(">I")
MAX_HEAD = 4 << 20
MAX_MESSAGE = 64 << 20
MAX_BLOBS = 10_000
SEND_S = 20.0  # for a message to be taken
PIECE = 1 << 20
AHEAD = 1 << 16  # bytes read at once, so that a small message takes one look


class Gone(Exception):
    """The other side has ended, or its answer did not come in time: nothing more will come on this channel."""


class Ended(Gone):
    """The other side has closed the channel, most often by dying."""


class Malformed(Exception):
    """What came is no message. The channel cannot be used any more."""


class TooLarge(Malformed):
    """A message over the cap. Expected at most MAX_MESSAGE bytes."""


class Channel:
    """One end of the socket. After Gone, Malformed or an interruption it is broken and stays so."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.broken: Exception | None = None
        self._waiting = bytearray()  # what has come and was not asked for yet

    def send(self, head: dict, blobs: list[bytes | memoryview] = (), deadline: float | None = None) -> None:
        """Raises TooLarge (and sends nothing) over the cap, Gone where nobody listens until the deadline."""
        text = json.dumps(head | {"blobs": [len(blob) for blob in blobs]}).encode()
        if len(text) > MAX_HEAD or len(text) + sum(map(len, blobs)) > MAX_MESSAGE or len(blobs) > MAX_BLOBS:
            raise TooLarge(f"Expected a message of at most {MAX_MESSAGE >> 20} MiB. Return less.")
        small = sum(map(len, blobs)) < PIECE
        with _Whole(self):
            try:
                self.sock.settimeout(SEND_S if deadline is None else max(deadline - time.monotonic(), 1e-3))
                self.sock.sendall(b"".join([LENGTH.pack(len(text)), text, *(blobs if small else ())]))
                for blob in () if small else blobs:
                    self.sock.sendall(blob)
            except TimeoutError as error:
                raise Gone("nobody reads there") from error
            except ConnectionError as error:
                raise Ended("the other side has ended") from error

    def receive(self, deadline: float | None = None) -> tuple[dict, list[bytearray]]:
        """The next message. `deadline` is a time.monotonic() until which all of it must be here."""
        with _Whole(self):
            (length,) = LENGTH.unpack(self._exactly(LENGTH.size, deadline))
            if length > MAX_HEAD:
                raise TooLarge(f"a head of {length} bytes, over {MAX_HEAD}")
            head = _parsed(bytes(self._exactly(length, deadline)))
            lengths = head.pop("blobs", None)
            if not isinstance(lengths, list) or len(lengths) > MAX_BLOBS or not all(map(_is_length, lengths)):
                raise Malformed("no list of lengths under blobs")
            if length + sum(lengths) > MAX_MESSAGE:
                raise TooLarge(f"a message of {sum(lengths)} bytes, over {MAX_MESSAGE}")
            return head, [self._exactly(n, deadline) for n in lengths]

    def _exactly(self, count: int, deadline: float | None) -> bytearray:
        data = self._waiting
        while len(data) < count:
            self.sock.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
            try:
                piece = self.sock.recv(max(min(count - len(data), PIECE), AHEAD))
            except TimeoutError as error:
                raise Gone("no answer in time") from error
            except ConnectionError as error:
                raise Ended("the other side has ended") from error
            if not piece:
                raise Ended("the other side has ended")
            if deadline is not None and time.monotonic() > deadline:
                raise Gone("no answer in time")  # however much it says
            data += piece
        self._waiting = data[count:]
        del data[count:]
        return data

    def close(self) -> None:
        self.sock.close()


class _Whole:
    """A message passes whole or the channel is broken, also where a time limit interrupts it half-way."""

    def __init__(self, channel: Channel):
        self.channel = channel

    def __enter__(self) -> None:
        if self.channel.broken is not None:
            raise Gone(str(self.channel.broken))
        self.channel.broken = Gone("interrupted")  # until the end is reached: a time limit may ring at any line

    def __exit__(self, kind, error, traceback) -> None:
        if error is None:
            self.channel.broken = None
        elif isinstance(error, Gone | Malformed):
            self.channel.broken = error


def _parsed(text: bytes) -> dict:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"a head that is no JSON: {type(error).__name__}") from error
    if not isinstance(head, dict):
        raise Malformed("a head that is no JSON object")
    return head


def _is_length(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_MESSAGE
