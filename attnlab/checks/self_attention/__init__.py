"""The checks of lesson 05, self-attention."""

from attnlab.checks.lesson import Lesson
from attnlab.checks.self_attention.attention import attention

check = Lesson("05_self_attention", "self_attention", [attention])
