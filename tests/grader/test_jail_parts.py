"""The jail's parts that decide something without a jail: the layout of the tree, the filter's numbers, the tiers."""

import os
import re
from pathlib import Path

import pytest

from grader.jail import filter as seccomp
from grader.jail import landlock, limits, tree, watch
from grader.jail.inner import Jail
from grader.jail.outer import JailError
from grader.jail.tiers import ATTEMPTS, NEEDED, Probe, Tier, probes, tier_reached

HEADERS = {
    "x86_64": [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")],
    "aarch64": [Path("/usr/include/asm-generic/unistd.h")],
}


@pytest.fixture
def place(tmp_path):
    root = Path(os.path.realpath(tmp_path))
    for path in ("a/b/c", "d/e"):
        (root / path).mkdir(parents=True)
    (root / "a/file").write_text("")
    (root / "link").symlink_to("d/e")
    (root / "chain").symlink_to(root / "link")
    return root


def test_a_folder_in_a_shown_folder_is_not_bound_twice(place):
    layout = tree.lay_out([str(place / "a"), str(place / "a/b"), str(place / "a/file")], [])
    assert layout.binds == [str(place / "a")]


def test_the_deepest_word_on_a_path_wins(place):
    layout = tree.lay_out([str(place / "a"), str(place / "a/b/c")], [str(place / "a/b")])
    assert layout.binds == [str(place / "a"), str(place / "a/b/c")]
    assert layout.covers == [str(place / "a/b")]
    assert layout.shows(str(place / "a/b/c/x"))
    assert not layout.shows(str(place / "a/b/x"))
    assert layout.shows(str(place / "a/file"))


def test_a_path_both_shown_and_hidden_is_hidden(place):
    layout = tree.lay_out([str(place / "a")], [str(place / "a")])
    assert not layout.shows(str(place / "a/file"))


def test_what_is_hidden_outside_of_all_that_is_shown_needs_no_cover(place):
    assert tree.lay_out([str(place / "a")], [str(place / "d")]).covers == []


def test_links_are_followed_one_by_one(place):
    layout = tree.lay_out([str(place / "chain")], [])
    assert layout.binds == [str(place / "d/e")]
    assert layout.links == {str(place / "chain"): str(place / "link"), str(place / "link"): "d/e"}


def test_a_secret_named_by_a_link_is_covered_where_it_really_is(place):
    assert tree.lay_out([str(place / "d")], [str(place / "link")]).covers == [str(place / "d/e")]


def test_a_circle_of_links_is_an_error(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        tree.follow(str(tmp_path / "one"))


def test_missing_paths_and_the_fresh_folders_are_left_out(place):
    assert tree.lay_out([str(place / "missing"), "/proc/self", "/dev/null"], []).binds == []


def test_landlock_allows_the_neighbours_of_a_secret_one_by_one(place):
    layout = tree.lay_out([str(place / "a")], [str(place / "a/b/c")])
    (place / "a/b/other").mkdir()
    assert sorted(landlock.readable(layout)) == [str(place / "a/b/other"), str(place / "a/file")]


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filters_numbers_are_those_of_the_kernels_headers(machine, column):
    header = next((path for path in HEADERS[machine] if path.exists()), None)
    if header is None:
        pytest.skip("no kernel headers here")
    numbers = {name: int(n) for name, n in re.findall(r"define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())}
    known = {name: both[column] for name, both in (seccomp.DENIED | seccomp.EXAMINED).items() if name in numbers}
    assert len(known) > 40
    assert known == {name: numbers[name] for name in known}


@pytest.mark.parametrize("machine", seccomp.AUDIT_ARCH)
@pytest.mark.parametrize("network", [True, False])
def test_a_filter_is_whole_instructions_and_ends_in_a_verdict(machine, network):
    code = seccomp.program(machine, network)
    assert len(code) % 8 == 0
    assert len(code) // 8 < 4096
    assert code[-8] == seccomp.RETURN


def test_tiers_compare_by_strength():
    assert Tier.A > Tier.B > Tier.C
    assert max(Tier) is Tier.A
    assert Tier.B >= Tier.B and Tier.C <= Tier.A and not Tier.C > Tier.B
    assert sorted(Tier) == [Tier.C, Tier.B, Tier.A]
    assert Tier("A") is Tier.A and Tier.A == "A"
    assert [tier.words for tier in Tier] == ["name spaces", "Landlock", "limits only"]


def test_a_tier_needs_all_its_parts():
    everything = [Probe(name, True, "") for name in ATTEMPTS]
    assert tier_reached(everything) is Tier.A
    for name in NEEDED[Tier.A]:
        without = [Probe(probe.name, probe.name != name, "") for probe in everything]
        assert tier_reached(without) < Tier.A
    assert tier_reached([]) is Tier.C
    assert NEEDED[Tier.A] | NEEDED[Tier.B] <= ATTEMPTS.keys()


@pytest.fixture(scope="module")
def tried():
    return {probe.name: probe for probe in probes()}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_probe_gives_an_answer_and_a_sentence(tried, name):
    assert isinstance(tried[name].ok, bool)
    assert re.fullmatch(r"[A-Z].*[.]", tried[name].detail), tried[name].detail


def test_probes_leave_the_process_as_it_was(tried):
    def state():
        spaces = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
        status = Path("/proc/self/status").read_text()
        return spaces, os.getresuid(), re.findall(r"(?:Cap|NoNewPrivs|Seccomp)\w*:\s*\w+", status), os.getcwd()

    before = state()
    probes()
    assert state() == before


def test_a_jail_without_the_outer_wall_is_refused():
    with pytest.raises(JailError, match=r"Expected: .*\nGot: .*\nDo: "):
        Jail(limits.Limits(), Tier.C)


def test_usage_of_a_process_that_is_gone_is_none():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert watch.usage(child) is None


def test_the_count_of_a_users_tasks_includes_this_process():
    assert limits.tasks_of(os.getuid()) >= 1
    assert limits.tasks_of(54321) == 0
