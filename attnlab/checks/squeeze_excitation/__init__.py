"""The checks of lesson 02, squeeze-and-excitation."""

from attnlab.checks.lesson import Lesson
from attnlab.checks.squeeze_excitation.excite import excite as _excite
from attnlab.checks.squeeze_excitation.one_gate_a_channel import one_gate_a_channel as _one_gate_a_channel
from attnlab.checks.squeeze_excitation.questions import PREDICTIONS, QUIZ, RECALL
from attnlab.checks.squeeze_excitation.se_overhead import se_overhead as _se_overhead
from attnlab.checks.squeeze_excitation.se_parameters import se_parameters as _se_parameters
from attnlab.checks.squeeze_excitation.spatial_squeeze_excite import spatial_squeeze_excite as _spatial_squeeze_excite
from attnlab.checks.squeeze_excitation.squeeze import squeeze as _squeeze
from attnlab.checks.squeeze_excitation.squeeze_excitation import SqueezeExcitation as _SqueezeExcitation

check = Lesson(
    "02_squeeze_excitation",
    "squeeze_excitation",
    [
        *(_squeeze, _excite, _SqueezeExcitation, _se_parameters, _one_gate_a_channel),
        *(_se_overhead, _spatial_squeeze_excite),
    ],
    recall=RECALL,
    predictions=PREDICTIONS,
    quiz=QUIZ,
)
