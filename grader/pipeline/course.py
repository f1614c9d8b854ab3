"""Where a course's files lie, and which lessons it has."""

from dataclasses import dataclass, field
from pathlib import Path

from grader.pipeline.refusal import Refused
from grader.pipeline.source import Source, read


@dataclass(frozen=True)
class Course:
    """`checked` maps a lesson's slug to its checks; `package` is what the lessons import."""

    root: Path
    checked: dict = field(default_factory=dict)
    package: str = "attnlab"

    @property
    def solutions(self) -> Path:
        return self.root / "solutions"

    @property
    def lessons(self) -> Path:
        return self.root / "lessons"

    def executed(self, slug: str) -> Path:
        return self.solutions / slug / f"{slug}.ipynb"

    def released(self, slug: str) -> Path:
        return self.lessons / slug / f"{slug}.ipynb"

    def slugs(self, numbers: tuple[str, ...] = ()) -> list[str]:
        """All lessons that have a source, or those whose number or slug is asked for."""
        found = sorted(path.parent.name for path in self.solutions.glob("[0-9][0-9]_*/*.py"))
        if not numbers:
            return found
        chosen = {
            number: [slug for slug in found if slug == number or slug[:2] == number.zfill(2)] for number in numbers
        }
        unknown = [number for number, slugs in chosen.items() if not slugs]
        if unknown:
            known = ", ".join(found) or "no lesson yet"
            raise Refused("solutions/", f"one of {known}", ", ".join(unknown), "Name a lesson by its number.")
        return sorted({slug for slugs in chosen.values() for slug in slugs})

    def source(self, slug: str) -> Source:
        return read(self.solutions / slug / f"{slug}.py")

    def checks(self, slug: str):
        """The lesson as attnlab.checks declares it."""
        if slug not in self.checked:
            raise Refused(
                f"solutions/{slug}/{slug}.py",
                f"checks for it (there are some for {', '.join(self.checked) or 'no lesson'})",
                "none",
                f"Add a package attnlab/checks/{slug[3:]} with the lesson's slug, {slug!r}.",
            )
        return self.checked[slug]


def this_course() -> Course:
    """The course that this file belongs to."""
    from attnlab.checks import lessons  # imports torch: only when a command needs it

    return Course(Path(__file__).parents[2], {lesson.slug: lesson for lesson in lessons()})
