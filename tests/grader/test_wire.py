"""Messages and values: what goes in comes out, and whatever else comes is refused without harm."""

import json
import socket
import threading
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.referee import wire
from grader.referee.values import Reader, Writer
from grader.referee.wire import Channel, Ended, Gone, Malformed, TooLarge


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    yield Channel(here), there
    here.close(), there.close()


def sent(there: socket.socket, data: bytes) -> None:
    threading.Thread(target=lambda: there.sendall(data), daemon=True).start()


def framed(head: object, *blobs: bytes) -> bytes:
    text = json.dumps(head).encode()
    return wire.LENGTH.pack(len(text)) + text + b"".join(blobs)


class TestMessages:
    def test_several_pass_whole_and_in_order(self, pair):
        channel, there = pair
        other = Channel(there)
        blobs = [b"", b"abc", bytes(300_000)]
        threading.Thread(target=lambda: [other.send({"n": n}, blobs) for n in range(3)], daemon=True).start()
        for n in range(3):
            head, got = channel.receive(time.monotonic() + 10)
            assert head == {"n": n} and [bytes(blob) for blob in got] == blobs

    @pytest.mark.parametrize(
        "data",
        [
            framed([1]),
            framed({"blobs": -1}),
            framed({}),
            framed({"blobs": [-1]}),
            framed({"blobs": [True]}),
            framed({"blobs": [1e9]}),
            framed({"blobs": [0] * 10_001}),
            wire.LENGTH.pack(2) + b"\xff\xff",
            wire.LENGTH.pack(200_000) + b"[" * 200_000,
            wire.LENGTH.pack(0xFFFFFFFF),
            framed({"blobs": [wire.MAX_MESSAGE, 1]}),
        ],
    )
    def test_what_is_no_message_breaks_the_channel(self, pair, data):
        channel, there = pair
        sent(there, data)
        with pytest.raises(Malformed):
            channel.receive(time.monotonic() + 10)
        with pytest.raises(Gone):
            channel.send({})

    def test_an_end_and_a_silence_are_told_apart(self, pair):
        channel, there = pair
        sent(there, wire.LENGTH.pack(50) + b"{")
        with pytest.raises(Gone) as late:
            channel.receive(time.monotonic() + 0.1)
        assert not isinstance(late.value, Ended)
        here, there = socket.socketpair()
        there.close()
        with pytest.raises(Ended):
            Channel(here).receive()

    def test_a_flood_does_not_outlast_the_deadline(self, pair):
        channel, there = pair
        done = threading.Event()

        def flood() -> None:
            try:
                there.sendall(wire.LENGTH.pack(4_000_000))
                while not done.is_set():
                    there.sendall(b" " * 100), time.sleep(0.001)
            except OSError:
                return

        threading.Thread(target=flood, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(Gone):
            channel.receive(start + 0.3)
        done.set()
        assert time.monotonic() - start < 3

    def test_one_that_reads_nothing_does_not_hold_the_sender(self, pair):
        channel, _ = pair
        start = time.monotonic()
        with pytest.raises(Gone):
            channel.send({}, [bytes(8 << 20)], deadline=start + 0.3)
        assert time.monotonic() - start < 3

    def test_too_much_is_not_sent_and_breaks_nothing(self, pair):
        channel, there = pair
        with pytest.raises(TooLarge):
            channel.send({}, [bytes(wire.MAX_MESSAGE + 1)])
        channel.send({"still": 1})
        assert Channel(there).receive(time.monotonic() + 5)[0] == {"still": 1}

    def test_an_interruption_inside_a_message_breaks_the_channel(self, pair):
        channel, there = pair
        sent(there, wire.LENGTH.pack(50))

        class Stop(BaseException):
            pass

        class Interrupting:
            def recv(self, n):
                raise Stop

            def settimeout(self, seconds):
                pass

        channel.sock = Interrupting()
        with pytest.raises(Stop):
            channel.receive()
        assert isinstance(channel.broken, Gone)


def nothing(tree: dict) -> None:
    raise Malformed("a handle")


def handle(value: object) -> dict:
    return {"k": "function", "id": 0, "name": "x"}


def through(value: object) -> object:
    writer = Writer(handle)
    tree = json.loads(json.dumps(writer.write(value)))
    return Reader([bytearray(blob) for blob in writer.blobs], nothing).read(tree)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.frozensets(st.integers(), max_size=1)
    ),
    max_leaves=20,
)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ktsbovgi") | st.text(max_size=3), inner)
    ),
    max_leaves=12,
)
KINDS = "tensor array scalar same list tuple set dict size dtype slice range complex ... int x"
DTYPES = ["float32", "int64", "bool", "bfloat16"]


class TestValues:
    @given(plain)
    def test_plain_ones_come_back_equal_and_of_the_same_types(self, value):
        assert repr(through(value)) == repr(value)

    @given(
        st.lists(st.integers(0, 3), max_size=4), st.sampled_from(["float32", "int64", "bool", "bfloat16"]), st.data()
    )
    def test_tensors_of_any_shape_and_layout(self, shape, dtype, data):
        order = data.draw(st.permutations(range(len(shape))))
        tensor = (torch.rand(shape) * 9).to(getattr(torch, dtype)).permute(order)
        back = through(tensor)
        assert torch.equal(back, tensor) and back.dtype == tensor.dtype
        assert tensor.numel() < 2 or back.is_contiguous() == tensor.is_contiguous()

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from(KINDS.split()),
        st.dictionaries(st.sampled_from("vtsbogi"), json_like),
        st.lists(st.binary(max_size=40), max_size=3),
    )
    def test_whatever_comes_is_a_value_or_malformed(self, kind, rest, blobs):
        try:
            Reader([bytearray(blob) for blob in blobs], nothing).read({"k": kind, **rest})
        except Malformed:
            pass

    @pytest.mark.parametrize(
        "tree",
        [
            {"k": "tensor", "t": "float32", "s": [2], "b": 0},
            {"k": "tensor", "t": "float32", "s": [-1], "b": 0},
            {"k": "tensor", "t": "float32", "s": [1 << 62, 1 << 62], "b": 0},
            {"k": "tensor", "t": "float32", "s": [1], "b": 0, "o": [1]},
            {"k": "tensor", "t": "object", "s": [1], "b": 0},
            {"k": "array", "t": "O", "s": [1], "b": 0},
            {"k": "same", "i": 3},
            {"k": "range", "v": [0, 1 << 60, 1]},
            {"k": "int", "v": "0x" + "f" * 5000},
            {"k": "dict", "v": [[{"k": "list", "v": []}, 1]]},
        ],
    )
    def test_what_does_not_fit_is_malformed(self, tree):
        with pytest.raises(Malformed):
            Reader([bytearray(4)], nothing).read(tree)

    def test_a_byte_that_is_neither_zero_nor_one_is_a_true_boolean(self):
        tree = {"k": "tensor", "t": "bool", "s": [3], "b": 0}
        read = Reader([bytearray([0, 1, 7])], nothing).read(tree)
        assert read.tolist() == [False, True, True] and read.sum() == 2
