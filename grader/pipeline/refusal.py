"""The one exception of the pipeline: what was expected, what came, what to do."""


class Refused(Exception):
    """A lesson that cannot be built. The message is complete; no traceback is needed beside it."""

    def __init__(self, where: str, expected: str, got: str, do: str):
        self.where, self.expected, self.got, self.do = where, expected, got, do
        super().__init__(f"{where}: expected {expected}; got {got}. {do}")
