"""nbgrader's configuration for this course. Run nbgrader's commands from this folder, environment activated:

    cd grader
    nbgrader autograde 05_self_attention
    nbgrader generate_feedback 05_self_attention
    nbgrader export

Submissions lie in submitted/<student>/<lesson>/<lesson>.ipynb beside lessons/. `nbgrader --config` is unknown
to the sub-commands: they find this file because it lies in the folder that they are started in.
"""

from pathlib import Path

from grader.pipeline.stub import STUB

c = get_config()  # noqa: F821  nbgrader puts it here

c.CourseDirectory.course_id = "attnlab"
c.CourseDirectory.root = str(Path(__file__).resolve().parents[1])
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "lessons"
# Without "*.py" nbgrader would hand the lesson's source, solutions and all, to the students.
c.CourseDirectory.ignore = ["*.py", ".ipynb_checkpoints", "*.pyc", "__pycache__", "gradebook.db"]
c.ClearSolutions.code_stub = {"python": STUB}
c.Execute.timeout = 120
