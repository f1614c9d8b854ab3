"""Checks with the attributes that the pipeline reads, and the three ways in which a check answers."""

import os
from types import SimpleNamespace


class Exercise:
    def __init__(self, name, stretch=False, **right):
        self.name, self.right, self.stretch = name, right, stretch
        self.title, self.stars, self.importance, self.minutes, self.points = f"The {name}", 2, 5, 4, 3
        self.mistakes, self.hints = ("one",) * 8, ("one", "two", "three", "four")

    def __call__(self, answer):
        try:
            got = answer([1.0, 2.0, 6.0])
        except NotImplementedError:
            got = None
        passed = got == self.right["on_1_2_6"]
        if os.environ.get("ATTNLAB_SEED"):
            return float(self.points) if passed else 0.0
        if os.environ.get("ATTNLAB_STRICT") == "1" and not passed:
            raise AssertionError(f"{self.name} does not pass")
        return "passes" if passed else "not attempted" if got is None else "does not pass"

    def carry_on(self, answer):
        from tinylab.mean import mean

        return answer if self(answer) == "passes" else mean


exercises = {
    "mean": Exercise("mean", on_1_2_6=3.0),
    "largest": Exercise("largest", stretch=True, on_1_2_6=6.0),
}
lesson = SimpleNamespace(slug="90_tiny", exercises=exercises, recall_items=(), predictions={}, quiz_items=())
check = SimpleNamespace(**exercises)
