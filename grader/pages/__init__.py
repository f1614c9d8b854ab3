"""What people read of a grading run: a page for each student, a report for the instructor, a list of similar answers.

Everything here reads `grader.referee.result.Result`s and texts. The pages are one file each, without any script.
"""
