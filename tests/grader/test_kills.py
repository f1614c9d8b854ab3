"""Kill -9 at random moments of a run: nothing lost, nothing doubled, the same marks.

Here a handful of kills; `python -m tests.grader.kills 200` does as many as one likes.
"""

import pytest

from tests.grader import kills


@pytest.mark.slow
@pytest.mark.xdist_group("kills")
def test_a_class_that_is_killed_again_and_again_is_marked_once(capsys):
    assert kills.main(kills=6, students=12, seed=20) == 0, capsys.readouterr().out


def test_the_comparison_sees_what_is_missing(tmp_path):
    """Two books that differ are not called the same."""
    from grader.grading import grade_course

    calm, shaken = (kills.make_class(tmp_path / name, 2) for name in ("calm", "shaken"))
    (shaken.submitted / "student_001").rename(tmp_path / "gone")
    for folder in (calm, shaken):
        grade_course(folder, (), (), workers=1, tell=lambda line: None)
    assert len(kills.differences(calm, shaken)) >= 3
