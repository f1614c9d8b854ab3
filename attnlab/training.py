"""Train a small model the same way in every lesson: a budget in steps, a seed for everything, no clock.

What a lesson claims about training it claims of several seeds: `over_seeds` runs them and keeps every value, so that
the spread is shown beside the mean.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

SEEDS = (0, 1, 2)


@dataclass
class History:
    """What was seen while training: the loss of every step, and `watched[i]` measured after `steps[i]` steps."""

    losses: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)


def built(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` makes under this seed; the random stream outside goes on as if nothing had happened."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, Generator], Tensor],
    steps: int,
    learning_rate: float = 3e-3,
    seed: int = 0,
    watch: Callable[[nn.Module], float] | None = None,
    every: int | None = None,
) -> History:
    """Train in place with Adam: a short warm-up, then a cosine down to nothing; gradients clipped at norm 1.

    loss: draws a batch from the generator and returns the model's loss on it. watch: measures the model, in eval mode
    and without gradients, after each `every` steps and at the end. The model is left in eval mode.
    """
    generator, history = Generator().manual_seed(seed), History()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global stream
        torch.manual_seed(seed)
        for step in range(1, steps + 1):
            model.train()
            value = loss(model, generator)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            history.losses.append(value.item())
            if watch is not None and (step == steps or (every and step % every == 0)):
                history.steps.append(step)
                history.watched.append(measured(model, watch))
    model.eval()
    return history


def measured(model: nn.Module, watch: Callable[[nn.Module], float]) -> float:
    """One measurement, in eval mode and without gradients."""
    model.eval()
    with torch.no_grad():
        return float(watch(model))


@dataclass(frozen=True)
class Spread:
    """One quantity, measured once for each seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation of the seeds (n - 1); 0 of a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def __str__(self) -> str:
        return f"{self.mean:.3g} ± {self.deviation:.2g}"


def over_seeds(run: Callable[[int], float], seeds: Sequence[int] = SEEDS) -> Spread:
    """`run(seed)` for each seed."""
    return Spread(tuple(float(run(seed)) for seed in seeds))
