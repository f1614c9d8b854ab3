"""Every threat of the table is tried on a real worker: no undeserved point, no fair point refused, nothing read, left
behind or reached, no submission that takes the worker down, and honest submissions afterwards as if nothing had been.
"""

import pytest

from tests.redteam.case import CannotArise
from tests.redteam.ground import Ground
from tests.redteam.threats import THREATS

LAST = 62
GROUPS = 2  # workers that the table is shared out to
CASES = [(threat, case) for threat in THREATS for case in threat.cases if not isinstance(case, CannotArise)]


@pytest.fixture(scope="session")
def ground():
    """One worker for all cases that this process runs."""
    made = Ground()
    assert made.honest() == []
    yield made
    made.close()


def test_the_table_has_all_threats_and_each_is_tried_or_explained():
    assert [threat.number for threat in THREATS] == list(range(1, LAST + 1))
    assert all(threat.cases for threat in THREATS)
    names = [(threat.number, case.name) for threat, case in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=f"{threat.number}-{case.name}".replace(" ", "_"),
            marks=pytest.mark.xdist_group(f"redteam-{place * GROUPS // len(CASES)}"),
        )
        for place, (threat, case) in enumerate(CASES)
    ],
)
def test_nobody_gains_by(ground, case):
    assert ground.run(case).problems == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "group", [pytest.param(n, marks=pytest.mark.xdist_group(f"redteam-{n}")) for n in range(GROUPS)]
)
def test_honest_ones_get_their_points_after_all_that(ground, group):
    assert ground.honest() == []
