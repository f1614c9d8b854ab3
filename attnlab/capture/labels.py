"""Names for tokens and places for patches, taken from what the model and its tokenizer say. Never guessed.

Everything here is optional: it finds nothing for a model that says nothing, and it is used only where it explains
every token, prefix tokens included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from attnlab.capture.groups import Group
from attnlab.viz.record import Grid

_PREFIXES = (
    (("cls_token", "class_token", "class_embedding"), "[CLS]"),
    (("dist_token", "distillation_token"), "[DIST]"),
    (("register_tokens", "reg_token"), "[REG]"),
)


def tokens(tokenizer: Any, batch: Any, item: int = 0) -> list[str]:
    """The tokens of one item, by a Hugging Face tokenizer and what it returned (or a table of ids)."""
    ids = batch["input_ids"] if isinstance(batch, Mapping) or hasattr(batch, "input_ids") else batch
    row = ids[item] if not hasattr(ids, "ndim") or ids.ndim > 1 else ids
    return [str(token) for token in tokenizer.convert_ids_to_tokens([int(one) for one in row])]


def fitting_labels(given: Any, size: int, side: str, group: Group, inputs: tuple, item: int) -> list[str] | None:
    """Labels as they were given; a tokenizer is asked for the words of the ids that fit this side."""
    if given is None or not hasattr(given, "convert_ids_to_tokens"):
        return given
    named = [(name, ids) for name, ids in _given(inputs) if _are_ids(ids) and ids.shape[-1] == size]
    if not named:
        raise ValueError(
            f"The model was given no token ids of length {size}, so the tokenizer cannot name the {side} tokens. "
            f"Pass {side}_labels= as a list of {size} texts."
        )
    decoder = "decoder" in group.where and not (group.kind == "cross" and side == "key")
    named.sort(key=lambda pair: ("decoder" in pair[0]) != decoder)  # stable: the first of several stays first
    return tokens(given, named[0][1], item)


def fitting_grid(model: Any, group: Group, size: int, inputs: tuple) -> Grid | None:
    """The grid of patches that explains exactly this many tokens, from the module around these sites."""
    for owner, path in _owners(model):
        if all(site.where.startswith(path) for site in group.sites):
            for t, y, x in _patches(owner, inputs):
                before = _prefix(owner)
                for names in (before, ()):  # some attention leaves the prefix out
                    if t * y * x + len(names) == size:
                        return Grid(y=y, x=x, t=t, before=names)
    return None


def _owners(model: Any) -> Iterator[tuple[nn.Module, str]]:
    """Modules that know a patch size, innermost last."""
    for path, module in model.named_modules() if isinstance(model, nn.Module) else ():
        config = getattr(module, "config", None)
        if hasattr(getattr(module, "patch_embed", None), "grid_size") or _patch_size(config):
            yield module, path


def _patch_size(config: Any) -> Any:
    return getattr(config, "patch_size", None) or getattr(config, "tubelet_size", None)


def _patches(owner: nn.Module, inputs: tuple) -> Iterator[tuple[int, int, int]]:
    """Frames, rows and columns of patches: of the picture that was given, else of the one in the configuration."""
    grid_size = getattr(getattr(owner, "patch_embed", None), "grid_size", None)
    if grid_size is not None:
        yield (1, *grid_size)[-3:]
    config = getattr(owner, "config", None)
    size = _patch_size(config)
    if not size:
        return
    pt, py, px = _three(size, depth=1)
    tubelet = getattr(config, "tubelet_size", None)
    if tubelet is not None:
        pt = tubelet if isinstance(tubelet, int) else tubelet[0]
    for _, values in _given(inputs):
        if isinstance(values, Tensor) and values.is_floating_point() and values.dim() in (4, 5):
            frames = values.shape[1] if values.dim() == 5 else 1
            yield max(frames // pt, 1), values.shape[-2] // py, values.shape[-1] // px
    if getattr(config, "image_size", None):
        _, y, x = _three(config.image_size, depth=1)
        yield max(getattr(config, "num_frames", 1) // pt, 1), y // py, x // px


def _three(size: Any, depth: int) -> tuple[int, int, int]:
    if isinstance(size, int):
        return depth, size, size
    return (depth, *size)[-3:]


def _prefix(owner: nn.Module) -> tuple[str, ...]:
    """Names of the tokens before the patches, from the parameters that hold them."""
    names: list[str] = []
    for attributes, name in _PREFIXES:
        counts = {
            parameter.shape[-2] if parameter.dim() > 1 else 1
            for module in owner.modules()
            for attribute in attributes
            if isinstance(parameter := getattr(module, attribute, None), nn.Parameter)
        }
        if len(counts) == 1:
            count = counts.pop()
            names += [name] if count == 1 else [f"{name} {i}" for i in range(count)]
    told = getattr(owner, "num_prefix_tokens", None)
    return tuple(names[:told]) if isinstance(told, int) else tuple(names)


def _given(inputs: tuple) -> list[tuple[str, Any]]:
    """What the model was called with, by name where it has one."""
    args, named = inputs
    return [("", value) for value in args] + list(named.items())


def _are_ids(values: Any) -> bool:
    return isinstance(values, Tensor) and not values.is_floating_point() and values.dim() in (1, 2)
