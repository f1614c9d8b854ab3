"""What goes wrong with the books: what was expected, what came, what to do."""


class GraderError(Exception):
    """A request that the books refuse, or cannot carry out. The message is complete; no traceback is needed."""

    def __init__(self, where: str, expected: str, got: str, do: str):
        self.where, self.expected, self.got, self.do = where, expected, got, do
        super().__init__(f"{where}: expected {expected}; got {got}. {do}")


class JournalFull(GraderError):
    """The disk has no room for the next row. What was written before is whole, and the row is not half there."""
