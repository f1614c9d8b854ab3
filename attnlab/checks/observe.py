"""Calls an answer on a case and writes down what was seen: outputs, gradients, changed inputs, or a fault.

Everything that judges (laws, diagnosis) reads observations and never calls the learner's code itself.
"""

from __future__ import annotations

import contextlib
import random
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from attnlab.checks.exercise import Case
from attnlab.checks.limits import TimeUp, quiet, run_within
from attnlab.checks.torch_errors import usual_meaning

PACKAGE = str(Path(__file__).parents[1]).replace("\\", "/") + "/"
SECONDS = 5.0  # for all cases of one answer together


@dataclass(frozen=True)
class Fault:
    """Why there is nothing to judge. `kind` is for programs, `message` for people."""

    kind: str  # not attempted, raised, hang, nothing, type, count, shape, dtype, device, parameters
    message: str


@dataclass(frozen=True)
class Observation:
    """What one call showed. A fault does not always hide the outputs: a wrong shape can still be compared."""

    outputs: tuple[torch.Tensor, ...] = ()
    fault: Fault | None = None
    gradients: dict[str, torch.Tensor | None] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    printed: str = ""


def observe(answer: Callable, case: Case, seconds: float = SECONDS) -> Observation:
    """Run one case under a time limit. Never raises, whatever the answer does, except on Ctrl-C."""
    inputs = [_fresh(value, case.gradients) for value in case.inputs]
    keywords = {name: _fresh(value, case.gradients) for name, value in case.keywords.items()}
    weights: dict[str, torch.Tensor] = {}

    def call() -> Any:
        function = answer if case.build is None else _built(answer, case, weights)
        return function(*inputs, **keywords)

    with quiet() as printed, _random_state_kept():
        try:
            seen = _as_observation(run_within(seconds, call))
            if case.gradients and seen.fault is None:
                leaves = dict(zip(case.names, inputs, strict=False)) | keywords | weights
                seen = replace(seen, gradients=run_within(seconds, lambda: _gradients(seen.outputs, leaves)))
        except TimeUp:
            message = f"It had not come back after {seconds:.0f} seconds. Is there a loop that never ends?"
            seen = Observation(fault=Fault("hang", message))
        except _Misfit as misfit:
            seen = Observation(fault=Fault("parameters", str(misfit)))
        except NotImplementedError as error:
            seen = Observation(fault=_not_implemented(error, answer))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # SystemExit too: a learner's exit() is an error like any other
            seen = Observation(fault=Fault("raised", _in_plain_words(error)))
    outputs = tuple(output.detach() for output in seen.outputs)
    changed = _changed(case, dict(zip(case.names, inputs, strict=False)) | keywords)
    return replace(seen, outputs=outputs, changed=changed, printed=printed.getvalue()[:500])


def _fresh(value: Any, gradients: bool) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    value = value.clone()
    return value.requires_grad_() if gradients and value.is_floating_point() else value


class _Misfit(Exception):
    """The learner's module has not the parameters that the exercise names."""


def _built(cls: Callable, case: Case, weights: dict[str, torch.Tensor]) -> Callable:
    """Build the module, load the case's weights, and put its parameters into `weights`."""
    module = cls(*case.build)
    if not isinstance(module, torch.nn.Module):
        raise _Misfit(f"Expected a class derived from torch.nn.Module, got {_kind_of(module)}.")
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    wanted = {name: tuple(value.shape) for name, value in case.weights.items()}
    if own != wanted:
        raise _Misfit(
            f"Built with {case.build}, its parameters are not those asked for. Missing: {_listed(wanted, own)}. "
            f"Too many: {_listed(own, wanted)}. Names and sizes of the layers count, and so does bias=False."
        )
    module.load_state_dict(dict(case.weights))
    module.eval()
    weights.update(module.named_parameters())
    return module


def _listed(shapes: dict[str, tuple], other: dict[str, tuple]) -> str:
    differing = [f"{name} {shape}" for name, shape in shapes.items() if other.get(name) != shape]
    return ", ".join(differing) or "none"


def _as_observation(result: Any) -> Observation:
    several = isinstance(result, tuple) or _is_list_of_tensors(result)
    parts = result if several else (result,)
    outputs = []
    for part in parts:
        if isinstance(part, bool) or type(part).__name__ in ("bool_", "bool"):  # NumPy's too
            part = torch.tensor(bool(part))
        if part is None:
            return Observation(fault=Fault("nothing", "It returned None. Is the last line a `return`?"))
        if not isinstance(part, torch.Tensor):
            return Observation(fault=Fault("type", f"Expected a torch.Tensor, got {_kind_of(part)}."))
        outputs.append(torch.Tensor.as_subclass(part, torch.Tensor))
    return Observation(outputs=tuple(outputs))


def _is_list_of_tensors(result: Any) -> bool:
    """`return [rows, columns]` unpacks like the tuple that is asked for; whoever calls it cannot tell."""
    return isinstance(result, list) and len(result) > 1 and all(isinstance(part, torch.Tensor) for part in result)


def _kind_of(value: Any) -> str:
    module = type(value).__module__
    name = type(value).__qualname__
    if module.startswith("numpy"):
        return f"a NumPy {name}; torch.from_numpy() turns it, but then no gradient flows: stay in torch"
    return f"a {name}" if module == "builtins" else f"a {module}.{name}"


def _gradients(outputs: tuple[torch.Tensor, ...], named: dict[str, Any]) -> dict[str, torch.Tensor | None]:
    """The gradient of one fixed, uneven sum over all outputs, for each tensor that could get one."""
    leaves = {k: v for k, v in named.items() if isinstance(v, torch.Tensor) and v.requires_grad}
    loss = sum(
        (out * torch.arange(out.numel(), dtype=out.dtype).cos().reshape(out.shape)).sum()
        for out in outputs
        if out.requires_grad
    )
    if isinstance(loss, torch.Tensor):
        loss.backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


def _changed(case: Case, after: dict[str, Any]) -> tuple[str, ...]:
    """The names of the inputs that are not any more what they were."""
    return tuple(
        name
        for name, value in case.named_inputs().items()
        if isinstance(value, torch.Tensor) and not _identical(value, after[name].detach())
    )


def _identical(before: torch.Tensor, after: torch.Tensor) -> bool:
    return before.shape == after.shape and torch.allclose(before, after, rtol=0, atol=0, equal_nan=True)


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """The check neither depends on the random stream nor moves it, and switches gradients on."""
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    torch.default_generator.manual_seed(0)
    try:
        with torch.enable_grad():
            yield
    finally:
        random.setstate(python_state)
        torch.set_rng_state(torch_state)


def _not_implemented(error: NotImplementedError, answer: Callable) -> Fault:
    """The stub's own error means: not attempted. The same error from elsewhere means something else."""
    last = _frames(error)[-1]
    if last.line and "NotImplementedError" not in last.line:  # torch raises it too, for dtypes and devices
        return Fault("raised", _in_plain_words(error))
    if last.name not in (getattr(answer, "__name__", last.name), "__init__", "forward"):
        return Fault("raised", f"It calls `{last.name}`, which is not written yet. Write that one first.")
    return Fault("not attempted", str(error) or "Nothing is written there yet.")


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Where the error passed: in the learner's own process, where that is another one."""
    return getattr(error, "remote_frames", None) or traceback.extract_tb(error.__traceback__)


def _in_plain_words(error: BaseException) -> str:
    """One sentence: what was raised, and at which line of the learner's own code."""
    said = str(error).strip().split("\n")[0][:200]
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    line = _learners_line(error)
    usually = usual_meaning(str(error))
    raised = f"It raised {what.rstrip('.')}" + (f", at the line `{line}`." if line else ".")
    return f"{raised} Usually: {usually}" if usually else raised


def _learners_line(error: BaseException) -> str | None:
    """The deepest line that is neither ours nor a library's. None if the source cannot be found."""
    for frame in reversed(_frames(error)):
        path = frame.filename.replace("\\", "/")
        ours = path.startswith(PACKAGE) or "/site-packages/" in path or "/lib/python" in path
        if frame.line and not ours:
            return frame.line
    return None
