"""`python -m tests.redteam [NUMBER …]`: try the threats on a real worker and print what came of each."""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.redteam.case import CannotArise
from tests.redteam.ground import Ground, Tried
from tests.redteam.threats import THREATS


def main(numbers: list[int]) -> int:
    """The number of cases that went wrong."""
    ground, start, count = Ground(), time.monotonic(), Counter()
    print(f"{'threat':34} {'case':50} {'verdict':24} {'points':>9} {'s':>5}  ok")
    try:
        _show("", Tried("honest ones, before all", problems=ground.honest()), count)
        for threat in THREATS:
            for case in threat.cases if not numbers or threat.number in numbers else ():
                name = f"{threat.number} {threat.name}"
                if isinstance(case, CannotArise):
                    print(f"{name:34.34} cannot arise: {case.why}")
                else:
                    _show(name, ground.run(case), count)
        _show("", Tried("honest ones, after all", problems=ground.honest()), count)
    finally:
        ground.close()
    print(f"{count['ok']} as they should be, {count['wrong']} not; {time.monotonic() - start:.0f} s")
    return count["wrong"]


def _show(threat: str, tried: Tried, count: Counter) -> None:
    count["wrong" if tried.problems else "ok"] += 1
    points = "" if tried.points is None else f"{tried.points:g} of {tried.fair:g}"
    sign = "NO" if tried.problems else "yes"
    print(
        f"{threat:34.34} {tried.name:50.50} {tried.verdict:24.24} {points:>9} {tried.seconds:5.2f}  {sign}", flush=True
    )
    for problem in tried.problems:
        print(f"{'':36}-> {ascii(problem)[1:-1]:.300}")


if __name__ == "__main__":
    raise SystemExit(min(main([int(number) for number in sys.argv[1:]]), 100))
