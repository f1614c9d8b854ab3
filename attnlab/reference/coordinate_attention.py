"""Coordinate attention: a gate for each row and one for each column, of every channel.

    z_rows = mean over x of F,  z_columns = mean over y of F
    f = h-swish( W [z_rows ; z_columns] )            one map for both, along the joined axis
    F' = sigmoid(W_y f_rows) * sigmoid(W_x f_columns) * F

Hou, Zhou, Feng 2021, *Coordinate Attention for Efficient Mobile Network Design*; written from memory, not read again.
The product of a column and a row can point at a place without any 7 x 7 window.
Departs from the authors' code (by memory too): no batch norm and no biases around W.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def coordinate_attention(
    features: Float[Tensor, "b c y x"],
    shared: Float[Tensor, "hidden c"],
    to_rows: Float[Tensor, "c hidden"],
    to_columns: Float[Tensor, "c hidden"],
) -> tuple[Float[Tensor, "b c y 1"], Float[Tensor, "b c 1 x"]]:
    """The gates of the rows and of the columns, ready to multiply the features."""
    rows, columns = features.mean(dim=-1), features.mean(dim=-2)
    summary = F.hardswish(shared @ torch.cat([rows, columns], dim=-1))
    of_rows, of_columns = summary.split([rows.shape[2], columns.shape[2]], dim=-1)
    return (to_rows @ of_rows).sigmoid()[:, :, :, None], (to_columns @ of_columns).sigmoid()[:, :, None, :]
