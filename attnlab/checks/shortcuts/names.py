"""The names of shortcuts, and the other spellings of each."""

from __future__ import annotations

import functools
import re

# What an exercise names when the learner is to write a softmax, or attention.
SOFTMAX = (
    *("torch.softmax", "torch.nn.functional.softmax", "torch.special.softmax", "torch.Tensor.softmax"),
    *("torch.log_softmax", "torch.nn.functional.log_softmax", "torch.special.log_softmax", "torch.Tensor.log_softmax"),
    *("torch.nn.Softmax", "torch.nn.LogSoftmax", "torch.nn.functional.softmin", "torch.nn.Softmin"),
)
ATTENTION = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.nn.attention.flex_attention.flex_attention",
    "torch.nn.MultiheadAttention",
    "torch.nn.TransformerEncoderLayer",
)
# No exercise has to name these: in them, and below them, lie the answers.
ALWAYS = ("attnlab.reference", "attnlab.papers", "attnlab.fast", "attnlab.checks.*.answer")

BACK_DOORS = ("torch._", "torch.ops.aten.", "torch.ops.aten._", "torch._C._nn.", "torch._C._special.special_")
OTHER_SPELLINGS = {
    "torch.nn.functional.scaled_dot_product_attention": ("torch.*_scaled_dot_product_*",),
    "torch.nn.functional.multi_head_attention_forward": ("torch.*_native_multi_head_attention",),
}


@functools.lru_cache(maxsize=4096)
def matched(value: str, names: frozenset[str], called: bool = False) -> str | None:
    """The shortcut that a value is: the name in the exercise's list, or the full name below one of `ALWAYS`."""
    beyond = value.split("().", 1)[-1].split(".") if "()." in value else []
    if value.startswith("?") or len(beyond) > 1:  # an attribute of something not known
        method = f"torch.Tensor.{value.rpartition('.')[2]}"
        if called and method in names:
            return method
    value = value.replace("()", "")
    for name, pattern in _patterns(names):
        if pattern.match(value):
            return value if name in ALWAYS else name
    return None


@functools.lru_cache(maxsize=64)
def _patterns(names: frozenset[str]) -> list[tuple[str, re.Pattern]]:
    first_its_own = sorted(names, key=lambda name: (name in ALWAYS, name))
    spelled = {name: [re.escape(s).replace(r"\*", ".*") for s in spellings(name)] for name in first_its_own}
    # Exactly as listed comes first: torch.softmax and F.softmax have back doors in common.
    exact = [(name, re.compile(rf"{re.escape(name)}(?:\.|$)")) for name in first_its_own if "*" not in name]
    return exact + [(name, re.compile(rf"(?:{'|'.join(some)})(?:\.|$)")) for name, some in spelled.items()]


def spellings(name: str) -> tuple[str, ...]:
    """A name and the other ways to the same thing; `*` stands for anything."""
    parts = name.split(".")
    capitals = [i for i, part in enumerate(parts) if part[:1].isupper()]
    if parts[0] != "torch":
        return (name,)
    if capitals:  # torch.nn.Softmax is torch.nn.modules.activation.Softmax
        head, tail = ".".join(parts[: capitals[0]]), ".".join(parts[capitals[0] :])
        return (name, f"{head}.*.{tail}")
    return (name, *(door + parts[-1] for door in BACK_DOORS), *OTHER_SPELLINGS.get(name, ()))


@functools.lru_cache(maxsize=64)
def stems(names: frozenset[str]) -> tuple[str, ...]:
    """A text that holds none of these among its words, whole or as part of one, has no way to any of the names."""
    last = (spelling.rpartition(".")[2].strip("*") for name in names for spelling in spellings(name))
    return tuple(sorted(set(last)))
