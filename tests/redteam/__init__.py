"""The 62 threats, each tried for real against one worker of the grader, or said why it cannot arise.

`threats.py` is the table, `ground.py` the worker and the things that nobody may read, `plain_lesson.py` a lesson in
nbgrader's own style. `python -m tests.redteam` prints the table with what came of each case.
"""
