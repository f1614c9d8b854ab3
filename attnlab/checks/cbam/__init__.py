"""The checks of lesson 03, CBAM."""

from attnlab.checks.cbam.above_control import above_control as _above_control
from attnlab.checks.cbam.cbam import CBAM as _CBAM
from attnlab.checks.cbam.channel_attention import channel_attention as _channel_attention
from attnlab.checks.cbam.coordinate_attention import coordinate_attention as _coordinate_attention
from attnlab.checks.cbam.only_dampens import only_dampens as _only_dampens
from attnlab.checks.cbam.questions import PREDICTIONS, QUIZ, RECALL
from attnlab.checks.cbam.spatial_attention import spatial_attention as _spatial_attention
from attnlab.checks.lesson import Lesson

check = Lesson(
    "03_cbam",
    "cbam",
    [_channel_attention, _spatial_attention, _CBAM, _above_control, _only_dampens, _coordinate_attention],
    recall=RECALL,
    predictions=PREDICTIONS,
    quiz=QUIZ,
)
