"""One picture of a run: the roofline with what was reached under it, and the ratios to the yardstick as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnlab.bench.counting import naive_bytes

SIZES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
BARS = 24  # at the most; more cannot be read
LOOKS = {  # colour and mark of each way, the same in both halves
    "fast": ("tab:red", "o"), "sdpa": ("black", "x"), "flash": ("tab:orange", "^"), "cudnn": ("tab:green", "s"),
    "efficient": ("tab:brown", "D"), "math": ("tab:gray", "v"), "naive": ("tab:blue", "P"), "flex": ("tab:purple", "*"),
}  # fmt: skip


def save(found: dict[str, Any], path: Path) -> None:
    """`path` ends in .png, .svg or .pdf."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in found["rows"] if row["section"] == "attention" and "tflops" in row]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
    roofline(left, found["ceilings"], [row for row in rows if row["case"]["pass"] == "fwd"])
    bars(right, [row for row in rows if "ratio" in row])
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(LOOKS))
    figure.suptitle(
        f"{found['machine']['device']}, torch {found['machine']['versions']['torch']}, {found['machine']['date']}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def roofline(axes: Any, ceilings: dict[str, float], rows: list[dict[str, Any]]) -> None:
    """Forward: FLOPs per byte that has to be moved, against TFLOP/s. The naive form moves its tables, too."""
    for way in dict.fromkeys(row["way"] for row in rows):
        own = [row for row in rows if row["way"] == way]
        colour, mark = LOOKS[way]
        places = [intensity(row) for row in own], [row["tflops"] for row in own]
        axes.plot(*places, mark, color=colour, label=way, alpha=0.7)
    low, high = axes.get_xlim()
    reach = [max(low, 1), max(high, 10_000)]
    for dtype in dict.fromkeys(row["case"]["dtype"] for row in rows):
        points = [reach[0], 1e12 * ceilings[dtype] / (1e9 * ceilings["copy_gb_per_s"]), reach[1]]
        roof = [min(point * ceilings["copy_gb_per_s"] / 1000, ceilings[dtype]) for point in points]
        axes.plot(points, roof, "-", linewidth=1, color="black")
        axes.annotate(dtype, (reach[1], roof[-1]), ha="right", va="bottom", fontsize=8)
    axes.set(
        xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="TFLOP/s", title="forward under the measured roof"
    )


def intensity(row: dict[str, Any]) -> float:
    """FLOPs per byte: of the problem, and for forms with a table, of these."""
    case = row["case"]
    if row["way"] not in ("naive", "math"):
        return row["flops_per_byte"]
    size = SIZES[case["dtype"]]
    fused = 4 * case["batch"] * case["heads"] * case["tokens"] * case["width"] * size
    return (
        row["flops_per_byte"] * fused / naive_bytes(case["batch"], case["heads"], case["tokens"], case["width"], size)
    )


def bars(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Of the longest sequences, as many times as fast as torch's own choice."""
    names: dict[str, dict[str, float]] = {}
    for row in rows:
        case = row["case"]
        name = f"{case['tokens']} x {case['width']} {case['mask']} {case['pass']} {case['dtype']}"
        names.setdefault(name, {})[row["way"]] = row["ratio"]
    chosen = list(names)[-BARS:]
    ways = [way for way in dict.fromkeys(row["way"] for row in rows) if way != "sdpa"]
    for number, way in enumerate(ways):
        places = [place + (number + 1) / (len(ways) + 1) - 0.5 for place in range(len(chosen))]
        axes.barh(places, [names[name].get(way, 0) for name in chosen], height=1 / (len(ways) + 1), color=LOOKS[way][0])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(chosen)), chosen, fontsize=7)
    axes.set(xlabel="times as fast as sdpa", title="tokens x width of a head")
