"""What torch's own error messages usually mean, in the words of the course."""

PRODUCT = (
    "`@` wants the last axis of the left and the last but one of the right to be equal: "
    "is a transpose missing, or one too many?"
)
AXES = "there may be more axes in front, or none: count from the back (-1, -2), and write `...` in einsum."
IN_PLACE = "something is changed in place (`+=`, `/=`, a method with `_` at its end)."
DTYPES = "two dtypes meet: make new tensors with the dtype of the inputs."
ARGUMENTS = "the check calls it as the exercise's text says: compare the arguments, and their order."
CHANNELS = (
    "conv2d wants (b, channels, y, x), with as many channels as the weight's second size: "
    "was an axis lost (keepdim=True), or joined along another (dim=1)?"
)
SUPER = "`super().__init__()` has to come first in `__init__`."
LINE_UP = "two tensors do not line up: was an axis lost (keepdim=True), added at the wrong place, or not yet summed?"

# A piece of the message -> what usually lies behind it. The first that fits is told.
USUALLY = {
    "return_types.max": "`max(dim=...)` returns values and places; `amax` returns the values alone.",
    "return_types.min": "`min(dim=...)` returns values and places; `amin` returns the values alone.",
    "input must be of equal length": "`fill_diagonal_` cannot do a batch; `masked_fill` with `torch.eye` can.",
    "leaf Variable that requires grad": IN_PLACE,
    "modified by an inplace operation": IN_PLACE,
    "shapes cannot be multiplied": PRODUCT,
    "batch2 tensor": PRODUCT,
    "must match the size of tensor b": LINE_UP,
    "number of dimensions": AXES,
    "einsum": AXES,
    "Given groups=": CHANNELS,
    "before Module.__init__() call": SUPER,
    "Dimension out of range": AXES,
    "expected scalar type": DTYPES,
    "have the same dtype": DTYPES,
    "positional argument": ARGUMENTS,
    "unexpected keyword argument": ARGUMENTS,
}


def usual_meaning(message: str) -> str | None:
    """What usually lies behind an error with this message; None where nothing is known."""
    return next((meaning for piece, meaning in USUALLY.items() if piece in message), None)
