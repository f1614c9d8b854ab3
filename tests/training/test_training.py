"""Training: the same seed gives the same model, what is watched is measured in eval mode, and seeds are kept apart."""

import torch
from torch import nn

from attnlab.training import Spread, built, over_seeds, train


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 1))


def loss(model: nn.Module, generator: torch.Generator) -> torch.Tensor:
    x = torch.randn(16, 3, generator=generator)
    return (model(x) - x.sum(dim=-1, keepdim=True)).square().mean()


def test_a_seed_decides_everything_dropout_included():
    def weights(seed: int, stream: int) -> torch.Tensor:
        torch.manual_seed(stream)
        model = built(seed, linear)
        train(model, loss, steps=7, seed=seed)
        return model[0].weight.detach()

    assert torch.equal(weights(1, stream=3), weights(1, stream=4))
    assert not torch.equal(weights(1, stream=3), weights(2, stream=3))


def test_the_random_stream_outside_goes_on_untouched():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    train(built(0, linear), loss, steps=2)
    assert torch.equal(torch.rand(2), expected)


def test_it_learns():
    history = train(built(0, lambda: nn.Linear(3, 1)), loss, steps=200, learning_rate=0.05)
    assert history.losses[-1] < 0.01 * history.losses[0]


def test_it_is_watched_in_eval_mode_without_gradients_and_left_in_eval_mode():
    seen = []

    def watch(model: nn.Module) -> float:
        seen.append((model.training, torch.is_grad_enabled()))
        return 0.0

    model = built(0, linear)
    history = train(model, loss, steps=7, watch=watch, every=3)
    assert history.steps == [3, 6, 7] and len(history.watched) == 3 and len(history.losses) == 7
    assert set(seen) == {(False, False)} and not model.training


def test_watching_does_not_change_what_is_learnt():
    def final(every: int | None) -> list[float]:
        return train(built(0, linear), loss, steps=6, watch=lambda m: float(m(torch.ones(1, 3))), every=every).losses

    assert final(None) == final(2)


def test_a_spread_is_the_mean_and_the_deviation_of_the_seeds():
    spread = over_seeds(lambda seed: seed, seeds=(1, 2, 6))
    assert spread.values == (1.0, 2.0, 6.0)
    assert spread.mean == 3.0 and abs(spread.deviation - 7**0.5) < 1e-12
    assert str(spread) == "3 ± 2.6"
    assert Spread((4.0,)).deviation == 0.0
