"""The checks of lesson 00, welcome."""

from attnlab.checks.lesson import Lesson
from attnlab.checks.welcome.entropy import entropy
from attnlab.checks.welcome.leave_one_out import leave_one_out
from attnlab.checks.welcome.nadaraya_watson import nadaraya_watson
from attnlab.checks.welcome.questions import PREDICTIONS, QUIZ, RECALL
from attnlab.checks.welcome.softmax import softmax
from attnlab.checks.welcome.stays_finite import stays_finite
from attnlab.checks.welcome.weighted_average import weighted_average

check = Lesson(
    "00_welcome",
    "welcome",
    [softmax, weighted_average, nadaraya_watson, leave_one_out, stays_finite, entropy],
    recall=RECALL,
    predictions=PREDICTIONS,
    quiz=QUIZ,
)
