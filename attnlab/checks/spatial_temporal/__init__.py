"""The checks of lesson 04, attention over joints, places and frames."""

from attnlab.checks.lesson import Lesson
from attnlab.checks.spatial_temporal.body_regions import body_regions as _body_regions
from attnlab.checks.spatial_temporal.depends_on_the_pose import depends_on_the_pose as _depends_on_the_pose
from attnlab.checks.spatial_temporal.frame_attention import frame_attention as _frame_attention
from attnlab.checks.spatial_temporal.joint_attention import joint_attention as _joint_attention
from attnlab.checks.spatial_temporal.pointing_game import pointing_game as _pointing_game
from attnlab.checks.spatial_temporal.questions import PREDICTIONS, QUIZ, RECALL
from attnlab.checks.spatial_temporal.separable_attention import separable_attention as _separable_attention
from attnlab.checks.spatial_temporal.sta_penalty import sta_penalty as _sta_penalty

check = Lesson(
    "04_spatial_temporal",
    "spatial_temporal",
    [
        *(_joint_attention, _frame_attention, _separable_attention, _pointing_game),
        *(_depends_on_the_pose, _sta_penalty, _body_regions),
    ],
    recall=RECALL,
    predictions=PREDICTIONS,
    quiz=QUIZ,
)
