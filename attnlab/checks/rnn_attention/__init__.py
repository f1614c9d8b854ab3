"""The checks of lesson 01, attention in recurrent networks."""

from attnlab.checks.lesson import Lesson
from attnlab.checks.rnn_attention.additive_scores import additive_scores as _additive_scores
from attnlab.checks.rnn_attention.attention_decoder_step import attention_decoder_step as _attention_decoder_step
from attnlab.checks.rnn_attention.attention_pooling import attention_pooling as _attention_pooling
from attnlab.checks.rnn_attention.local_attention import local_attention as _local_attention
from attnlab.checks.rnn_attention.luong_scores import luong_scores as _luong_scores
from attnlab.checks.rnn_attention.masked_softmax import masked_softmax as _masked_softmax
from attnlab.checks.rnn_attention.padding_changes_nothing import padding_changes_nothing as _padding_changes_nothing
from attnlab.checks.rnn_attention.questions import PREDICTIONS, QUIZ, RECALL
from attnlab.checks.rnn_attention.rnn_forward import rnn_forward as _rnn_forward

check = Lesson(
    "01_rnn_attention",
    "rnn_attention",
    [
        *(_rnn_forward, _additive_scores, _masked_softmax, _luong_scores, _padding_changes_nothing),
        *(_attention_decoder_step, _attention_pooling, _local_attention),
    ],
    recall=RECALL,
    predictions=PREDICTIONS,
    quiz=QUIZ,
)
