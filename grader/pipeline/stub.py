"""The solution regions of an exercise cell, and what the learner finds in their place."""

import re

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = 'raise NotImplementedError("write this, then run the check below")'


def stubbed(text: str) -> str:
    """The cell as nbgrader will release it. Expects regions that are well formed."""
    lines, inside = [], False
    for line in text.split("\n"):
        if "BEGIN SOLUTION" in line:
            inside = True
            lines.append(re.match(r"\s*", line).group() + STUB)
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def solution_regions(text: str) -> list[str]:
    """What stands between the markers, one string a region."""
    regions, inside = [], False
    for line in text.split("\n"):
        if "BEGIN SOLUTION" in line:
            inside = True
            regions.append([])
        elif "END SOLUTION" in line:
            inside = False
        elif inside:
            regions[-1].append(line)
    return ["\n".join(lines) for lines in regions]
