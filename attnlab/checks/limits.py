"""A time limit around code that may never end, and silence around code that may say anything.

stderr must be silent above all: nbgrader gives a right answer no marks if its check leaves one line there.
"""

import contextlib
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any


class TimeUp(BaseException):
    """The time limit is over. Not an Exception, so that a learner's `except Exception` does not eat it."""


def run_within(seconds: float, function: Callable[[], Any]) -> Any:
    """Call the function; raise TimeUp if it has not come back in time.

    In the main thread an alarm interrupts it. Where there is no alarm (Windows, other threads), it runs in a
    thread that is left behind when its time is up.
    """
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        return _with_alarm(seconds, function)
    return _in_thread(seconds, function)


def _with_alarm(seconds: float, function: Callable[[], Any]) -> Any:
    own = set()  # code that must not be interrupted: it switches the alarm off

    def ring(signum: int, frame: Any) -> None:
        if frame is None or frame.f_code not in own:
            raise TimeUp

    own |= {ring.__code__, _with_alarm.__code__}
    before = signal.signal(signal.SIGALRM, ring)
    # It rings again and again, fast: a loop around a bare `except:` swallows most of the rings, but not the
    # one that comes in the short moment between its `except` and its next `try`.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 0.0001)
    try:
        return function()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _in_thread(seconds: float, function: Callable[[], Any]) -> Any:
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["value"] = function()
        except BaseException as error:  # handed to the caller below
            outcome["error"] = error

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeUp
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Nothing reaches the notebook: prints are collected and handed over, warnings and stderr are dropped."""
    printed = io.StringIO()
    logging_before = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(io.StringIO()),
        _descriptor_2_closed(),
    ):
        warnings.simplefilter("ignore")
        if logging_before < logging.CRITICAL:  # each change costs a third of a millisecond
            logging.disable(logging.CRITICAL)
        try:
            yield printed
        finally:
            if logging.root.manager.disable != logging_before:
                logging.disable(logging_before)


@contextlib.contextmanager
def _descriptor_2_closed() -> Iterator[None]:
    """Also what C code, or os.write, sends to stderr goes nowhere."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.__stderr__ and sys.__stderr__.flush()
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
