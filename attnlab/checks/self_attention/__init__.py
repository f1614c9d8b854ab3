"""The checks of lesson 05, self-attention."""

from attnlab.checks.lesson import Lesson
from attnlab.checks.self_attention.attention import attention as _attention
from attnlab.checks.self_attention.causal_mask import causal_mask as _causal_mask
from attnlab.checks.self_attention.dot_product_scores import dot_product_scores as _dot_product_scores
from attnlab.checks.self_attention.questions import PREDICTIONS, QUIZ, RECALL
from attnlab.checks.self_attention.rows_sum_to_one import rows_sum_to_one as _rows_sum_to_one
from attnlab.checks.self_attention.scale import scale as _scale
from attnlab.checks.self_attention.self_attention_1d import SelfAttention1d as _SelfAttention1d
from attnlab.checks.self_attention.soft_lookup import soft_lookup as _soft_lookup

check = Lesson(
    "05_self_attention",
    "self_attention",
    [_dot_product_scores, _scale, _attention, _causal_mask, _SelfAttention1d, _rows_sum_to_one, _soft_lookup],
    recall=RECALL,
    predictions=PREDICTIONS,
    quiz=QUIZ,
)
