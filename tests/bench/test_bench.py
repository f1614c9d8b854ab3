"""`python -m attnlab.bench`: that it runs, refuses what is wrong, and counts and compares as it says."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attnlab.bench import claims, counting, padding, plot, report, timing, windows
from attnlab.bench.__main__ import main
from attnlab.bench.attention import Size, case, inputs, textbook
from attnlab.bench.checking import WrongResult, attention_answer, by_rows
from attnlab.bench.measuring import Setting, calling, measured
from attnlab.bench.memory import growth, peak
from attnlab.fast.ladder.naive import naive

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
SETTING = Setting(CPU, quick=True, seconds=0.01, ceilings={"float32": 0.1, "copy_gb_per_s": 10.0})
SMALL = Size(batch=1, heads=2, tokens=24, width=16, causal=True, backward=True, dtype=torch.float32)


# ---------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What `--quick` printed, saved and drew."""
    folder = tmp_path_factory.mktemp("bench")
    words = ["--quick", "--device", "cpu", "--json", str(folder / "bench.json"), "--plot", str(folder / "bench.png")]
    ended = subprocess.run([sys.executable, "-m", "attnlab.bench", *words], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout, json.loads((folder / "bench.json").read_text()), folder / "bench.png"


def test_a_quick_run_saves_what_was_measured_on_what_and_when(run):
    _, found, _ = run
    machine = found["machine"]
    assert machine["device"] and machine["threads"] == 1
    assert machine["versions"]["torch"] == torch.__version__
    assert machine["date"].startswith("20") and "T" in machine["date"]
    assert found["ceilings"]["float32"] > 0 and found["ceilings"]["copy_gb_per_s"] > 0


def test_a_quick_run_has_figures_of_every_section_and_none_is_wrong(run):
    _, found, _ = run
    figures = [row for row in found["rows"] if "ms" in row or "mb" in row]
    assert {row["section"] for row in figures} >= {"attention", "others", "padding", "windows", "gates", "memory"}
    assert all("ms" in row or "mb" in row or row["why"] for row in found["rows"])
    assert [row for row in found["rows"] if "wrong" in row] == []
    assert {row["way"] for row in figures if row["section"] == "attention"} == {
        "fast",
        "sdpa",
        "flash",
        "math",
        "naive",
    }


def test_what_is_not_measured_says_why(run):
    printed, found, _ = run
    reasons = {row["way"]: row["why"] for row in found["rows"] if "why" in row}
    assert reasons["cudnn"] == "on a GPU only"
    assert "cudnn: on a GPU only" in printed


def test_the_picture_is_drawn(run):
    assert run[2].stat().st_size > 10_000


def test_the_saved_results_are_of_a_whole_run():
    files = sorted((ROOT / "tests/bench/results").glob("*.json"))
    assert files
    for file in files:
        found = json.loads(file.read_text())
        assert not found["quick"] and found["claims"]
        assert not [row for row in found["rows"] if "wrong" in row]
        assert "of max" in report.text(found)


# ---------------------------------------------------------------------- what is right


def test_the_naive_form_by_rows_is_the_naive_form(monkeypatch):
    monkeypatch.setattr("attnlab.bench.checking.ROWS", 5)
    query, key, value, grad = inputs((1, 1, 12, 4), torch.float64, CPU, True)
    query, grad = query[:, :, :9], grad[:, :, :9]
    output = naive(query, key, value, causal=True)[0]
    right = [output, *torch.autograd.grad(output, (query, key, value), grad)]
    got = by_rows(query[0, 0], key[0, 0], value[0, 0], grad[0, 0], True, torch.float64)
    for mine, theirs in zip(got, right, strict=True):
        torch.testing.assert_close(mine, theirs[0, 0])


def test_by_rows_takes_only_the_keys_that_a_window_shows_and_comes_to_the_same(monkeypatch):
    monkeypatch.setattr("attnlab.bench.checking.ROWS", 4)
    query, key, value, grad = inputs((1, 1, 11, 3), torch.float64, CPU, True)
    mask = windows.band(11, 2, 1, 2, CPU)
    right = calling(lambda q, k, v: naive(q, k, v, mask)[0], (query, key, value), grad)()
    got = by_rows(query[0, 0], key[0, 0], value[0, 0], grad[0, 0], False, torch.float64, mask)
    for mine, theirs in zip(got, right, strict=True):
        torch.testing.assert_close(mine, theirs[0, 0])


def test_a_wrong_output_is_refused():
    query, key, value, grad = inputs((2, 3, 20, 8), torch.float32, CPU, True)
    answer = attention_answer(query, key, value, grad, causal=True)
    answer.check(calling(lambda *t: textbook(*t, causal=True), (query, key, value), grad)())
    with pytest.raises(WrongResult, match="output"):
        answer.check(calling(textbook, (query, key, value), grad)())


def test_a_wrong_gradient_of_the_last_head_alone_is_refused():
    query, key, value, grad = inputs((2, 3, 20, 8), torch.float32, CPU, True)
    answer = attention_answer(query, key, value, grad)
    output, d_query, d_key, d_value = calling(textbook, (query, key, value), grad)()
    d_key[-1, -1, 0, 0] += 1e-3
    with pytest.raises(WrongResult, match="gradient 2"):
        answer.check((output, d_query, d_key, d_value))


def test_nan_is_wrong():
    query, key, value, _ = inputs((1, 1, 6, 4), torch.float32, CPU, False)
    with pytest.raises(WrongResult):
        attention_answer(query, key, value, None).check((torch.full_like(query, torch.nan),))


def test_what_is_wrong_gets_no_time_and_the_others_get_theirs():
    problem = case(SMALL, SETTING)
    query, key, value, grad = inputs((1, 2, 24, 16), torch.float32, CPU, True)
    wrong = calling(lambda *t: textbook(*t, causal=True) * 1.001, (query, key, value), grad)
    rows = {row["way"]: row for row in measured(replace(problem, ways=problem.ways | {"flash": wrong}), SETTING)}
    assert "wrong" in rows["flash"] and "ms" not in rows["flash"] and "ratio" not in rows["flash"]
    assert rows["fast"]["ms"] > 0 and rows["fast"]["ratio"] > 0


def test_whoever_refuses_is_named_but_ours_may_not():
    def refuse():
        raise RuntimeError("No kernel for this.\nAnd much more.")

    problem = case(SMALL, SETTING)
    rows = {row["way"]: row for row in measured(replace(problem, ways=problem.ways | {"math": refuse}), SETTING)}
    assert rows["math"]["why"] == "refused: No kernel for this."
    with pytest.raises(RuntimeError, match="No kernel"):
        list(measured(replace(problem, ways=problem.ways | {"fast": refuse}), SETTING))


# ---------------------------------------------------------------------- counting


def test_flops_by_hand():
    # 2 products of 3 x 4 queries and keys, 5 wide: 2 * (3 * 4 * 5) multiply-adds, twice that in FLOPs, 2 x 7 heads
    assert counting.attention_flops(2, 7, 3, 4, 5) == 2 * 7 * 2 * 2 * 3 * 4 * 5
    # the standard shape at 16,384 tokens: 2.2 TFLOP; 3.5 x with backward; half when causal
    whole = counting.attention_flops(1, 16, 16384, 16384, 128)
    assert whole == pytest.approx(2.199e12, rel=1e-3)
    assert counting.attention_flops(1, 16, 16384, 16384, 128, causal=True, backward=True) == whole * 3.5 / 2


def test_bytes_by_hand():
    # q k v o of 6 x 5 numbers of 2 bytes; backward reads q k v o and its gradient, writes three
    assert counting.attention_bytes(1, 1, 6, 5, 2) == 4 * 6 * 5 * 2
    assert counting.attention_bytes(1, 1, 6, 5, 2, backward=True) == 12 * 6 * 5 * 2
    # bfloat16: S / 2 FLOPs a byte, as the fact sheet has it
    assert counting.attention_flops(1, 1, 800, 800, 64) / counting.attention_bytes(1, 1, 800, 64, 2) == 400


def test_work_on_padding_does_not_count():
    assert counting.packed_flops([3, 1, 2], 2, 5) == 4 * 2 * 5 * (9 + 1 + 4)
    # one token: its four projections and a feed-forward part of 4 E, each multiply-add 2 FLOPs, E = 6; and itself
    assert counting.layer_flops([1], 2, 3) == 2 * (4 * 36 + 2 * 4 * 36) + 4 * 2 * 3


def test_windows_by_hand():
    # left 1, right 1 of 4 tokens: 2 + 3 + 3 + 2 pairs
    assert windows.band(4, 1, 1, 1, CPU).sum() == 10
    assert windows.band(7, 1, 0, 3, CPU).nonzero().tolist() == [[i, j] for i in range(7) for j in (i - 3, i) if j >= 0]
    assert counting.window_flops(1, 1, 10, 8) == 4 * 10 * 8


def test_lengths_are_uniform_on_a_fifth_to_all():
    lengths = torch.tensor(padding.lengths_of(400, 1000), dtype=torch.float64) / 1000
    assert lengths.min() >= 0.2 and lengths.max() <= 1
    assert lengths.mean().item() == pytest.approx(0.6, abs=1e-3)
    assert lengths.square().mean().item() == pytest.approx(0.4133, abs=1e-3)


# ---------------------------------------------------------------------- timing


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians():
    theirs, ours = [2.0, 30.0, 8.0], [1.0, 10.0, 1.0]  # ratios 2, 3, 8; medians 8 and 1
    assert timing.ratio(theirs, ours) == 3
    assert timing.ratio(theirs[:2], ours) == 2.5  # the third round is only ours


def test_all_are_timed_in_turns_and_nobody_always_second():
    order = []

    def clock(call):
        order.append(call())
        return 1.0

    times = timing.paired({"a": lambda: "a", "b": lambda: "b"}, clock, seconds=0, least=4)
    assert order == ["a", "b"] + ["a", "b", "b", "a"] * 2
    assert times == {"a": [1.0] * 4, "b": [1.0] * 4}


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_on_a_cpu_the_time_of_others_does_not_count(one_thread):
    assert timing.clock_of(CPU)(lambda: time.sleep(0.2)) < 0.1


def test_who_is_slow_drops_out_earlier():
    times = timing.paired({"slow": lambda: 1.0, "fast": lambda: 0.1}, lambda call: call(), seconds=10, least=2)
    assert len(times["slow"]) == 5 and len(times["fast"]) == 50


def test_who_takes_longer_than_all_the_time_gets_three_rounds():
    times = timing.paired({"slow": lambda: 9.0, "fast": lambda: 0.1}, lambda call: call(), seconds=2, least=5)
    assert len(times["slow"]) == 3 and len(times["fast"]) == 10


def test_whose_ratio_matters_most_gets_twice_the_rounds():
    times = timing.paired({"a": int, "b": int}, lambda call: 1.0, seconds=0, least=4, often=["b"])
    assert len(times["a"]) == 4 and len(times["b"]) == 8


def test_the_spread_is_half_the_distance_of_the_quartiles():
    assert timing.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1 / 3)


# ---------------------------------------------------------------------- memory, promises, the picture


def test_the_most_memory_of_a_call_is_seen_though_it_is_given_back():
    def call():
        return float(torch.ones(16 << 20).sum())  # 67 MB, gone when the call ends

    call()
    most = peak(call, CPU)
    if most is None:
        pytest.skip("this system does not tell the most memory of a process anew")
    assert 60e6 < most < 90e6


def test_growth_is_the_power_of_the_length():
    rows = [
        {"section": "memory", "way": way, "case": {"tokens": n, "backward": False}, "mb": mb}
        for n in (10, 20, 40)
        for way, mb in (("fast", 3.0 * n), ("naive", 0.5 * n * n))
    ]
    assert growth(rows, "fast", False) == pytest.approx(1)
    assert growth(rows, "naive", False) == pytest.approx(2)
    assert growth(rows, "fast", True) is None


def test_a_promise_is_judged_by_its_worst_case():
    rows = [
        {"section": "attention", "way": "fast", "ratio": ratio, "case": {"tokens": tokens, "mask": "full"}}
        for tokens, ratio in ((512, 1.2), (2048, 0.9))
    ]
    (claim,) = claims.claims(rows)
    assert (claim.held, claim.worst, claim.where) == (False, 0.9, "tokens 2048, full")


def test_the_naive_form_stands_under_the_roof_with_its_tables():
    case_of = {"batch": 1, "heads": 2, "tokens": 512, "width": 64, "dtype": "bfloat16"}
    row = {"way": "naive", "flops_per_byte": 256, "case": case_of}
    assert plot.intensity(row | {"way": "fast"}) == 256
    assert plot.intensity(row) < 64 / 2  # four passes over the table alone are d / 2


def test_what_is_promised_of_a_hopper_gpu_is_held_against_its_rows():
    def row(way, ms, tflops=1.0, mask="full", backward=False, tokens=16384):
        case = {"tokens": tokens, "width": 128, "mask": mask, "dtype": "bfloat16"}
        case["pass"] = "fwd+bwd" if backward else "fwd"
        return {"section": "attention", "case": case, "way": way, "ms": ms, "tflops": tflops}

    rows = [
        row("fast", 4.0, 500.0), row("flash", 6.0), row("fast", 3.0, 400.0, "causal"),
        row("fast", 14.0, backward=True), row("fast", 1.0, tokens=4096), row("flash", 1.05, tokens=4096),
        row("fast", 1.0, tokens=2048), row("flash", 0.5, tokens=2048),
    ]  # fmt: skip
    found = {claim.text: (claim.held, pytest.approx(claim.worst)) for claim in claims.on_hopper(rows)}
    assert found == {
        "forward, full, width 128, 16,384 tokens, TFLOP/s: at least 395": (True, 500.0),
        "the same causal, as a share of that: at least 0.9": (False, 0.8),
        "backward alone, full, TFLOP/s: at least 300": (True, 500.0),  # 2.5 x the forward's work in 10 ms
        "at least 1.1 x torch's flash back end from 4096 tokens on, forward": (False, 1.05),
    }
    assert claims.on_hopper([]) == []
    machine = {"device": "NVIDIA H200"}
    assert {one["text"] for one in report.report(machine, {}, rows)["claims"]} >= found.keys()
    assert not {one["text"] for one in report.report({"device": "Xeon"}, {}, rows)["claims"]} & found.keys()


@pytest.mark.parametrize(("device", "said"), [("tpu", "expected cuda or cpu, got tpu"), ("cuda", "torch finds none")])
def test_a_device_that_is_not_there_is_said(device, said, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--device", device])
    assert said in capsys.readouterr().err
