"""The rows of a run as tables to read and as JSON to keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attnlab.bench.claims import Claim, claims, named, on_hopper
from attnlab.bench.measuring import Row
from attnlab.bench.published import NOMINAL, flash_3

LEGEND = """ms: median of the rounds, on a CPU the time that one thread was at work.
x: how many times as fast as the yardstick (=), median of the rounds' ratios.
TFLOP/s: 4 B H N N d forward, half of it causal, 3.5 x with backward; softmax not counted, padding not either.
of max: of a large product of random matrices in that dtype, measured in this run.
GB/s: of the bytes that nobody can avoid."""
TITLES = {
    "attention": "Attention beside torch's function (sdpa: its own choice; then each back end by itself)",
    "others": "What torch's function expresses beside that",
    "padding": "Without padding: lengths uniform on [0.2 S, S]. At most 1.67 x by tokens, 2.42 x in attention",
    "windows": "Windows; MB: the most memory beyond the inputs, and how many times less than the yardstick",
    "gates": "Gates on a ResNet-50's maps",
    "peers": "Other libraries' layers, the same weights",
    "memory": "The most memory beyond the inputs, outputs included, MB",
}


def text(found: dict[str, Any]) -> str:
    """Everything, as printed."""
    parts = [_machine(found), LEGEND]
    for section, title in TITLES.items():
        rows = [row for row in found["rows"] if row["section"] == section]
        if rows:
            parts.append(f"{title}\n{_memory(rows) if section == 'memory' else _table(rows)}{_footnotes(rows)}")
    parts += [part for part in (_alarms(found), _claims(found)) if part]
    return "\n\n".join(parts)


def report(machine: dict[str, Any], ceilings: dict[str, float], rows: list[Row], quick: bool = False) -> dict[str, Any]:
    """What the JSON holds. Promises are about sizes that a quick run does not have."""
    made = claims(rows) + (on_hopper(rows) if any(name in machine["device"] for name in ("H100", "H200")) else [])
    return {
        "quick": quick,
        "machine": machine,
        "ceilings": ceilings,
        "conventions": LEGEND.splitlines(),
        "claims": [] if quick else [claim.as_row() for claim in made],
        "rows": rows,
    }


def save(found: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _short(found)
    head = json.dumps({name: value for name, value in found.items() if name != "rows"}, indent=1).removesuffix("\n}")
    rows = ",\n".join(f"  {json.dumps(row)}" for row in found["rows"])  # one a line, to be looked through
    path.write_text(f'{head},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")


def _short(value: Any) -> Any:
    """Four digits are more than a measurement has."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value


def _machine(found: dict[str, Any]) -> str:
    machine, ceilings = found["machine"], found["ceilings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    best = ", ".join(f"{name} {rate:.3g} TFLOP/s" for name, rate in ceilings.items() if name != "copy_gb_per_s")
    threads = (
        f", {machine['threads']} of {machine['cores']} cores, {machine['vectors']}" if machine["kind"] == "cpu" else ""
    )
    clock = f", clock {machine['clocks.sm']}, limit {machine['power.limit']}" if "clocks.sm" in machine else ""
    return (
        f"{machine['device']}{threads}{clock}; {machine['date']}, attnlab {machine['commit']}\n{versions}\n"
        f"measured at best: {best}; copy {ceilings['copy_gb_per_s']:.3g} GB/s"
    )


def _by_case(rows: list[Row]) -> list[tuple[dict[str, Any], dict[str, Row]]]:
    """Each case with its rows by way, in the order in which they came."""
    found: dict[str, tuple[dict[str, Any], dict[str, Row]]] = {}
    for row in rows:
        found.setdefault(named(row["case"]), (row["case"], {}))[1][row["way"]] = row
    return list(found.values())


def _table(rows: list[Row]) -> str:
    """A line a case. A group of cases with the same names for their sizes and the same ways has one head."""
    lines: list[list[str]] = []
    groups: list[list[list[str]]] = []
    head: list[str] = []
    for case, ways in _by_case(rows):
        if all("why" in row for row in ways.values()):
            continue  # the footnotes say why
        own = [*case, *_heading(ways)]
        if own != head:
            head, lines = own, [own]
            groups.append(lines)
        lines.append([*(str(value) for value in case.values()), *_cells(ways)])
    return "\n".join(aligned(group) for group in groups)


def _heading(ways: dict[str, Row]) -> list[str]:
    return ["ms, best of ours", *_rates(ways), *ways]


def _rates(ways: dict[str, Row]) -> list[str]:
    rows = ways.values()
    rates = [name for name, key in (("TFLOP/s", "tflops"), ("of max", "of_ceiling")) if any(key in row for row in rows)]
    return rates or (["GB/s"] if any("gb_per_s" in row for row in rows) else [])


def _cells(ways: dict[str, Row]) -> list[str]:
    ours = [row for row in ways.values() if row["ours"] and "ms" in row]
    if not ours:
        return ["-", *("-" for _ in _rates(ways)), *(_cell(row) for row in ways.values())]
    best = min(ours, key=lambda row: row["ms"])
    keys = {"TFLOP/s": "tflops", "of max": "of_ceiling", "GB/s": "gb_per_s"}
    rates = [f"{best[keys[name]]:.0%}" if name == "of max" else f"{best[keys[name]]:.3g}" for name in _rates(ways)]
    return [f"{best['ms']:.3g}", *rates, *(_cell(row) for row in ways.values())]


def _cell(row: Row) -> str:
    if "wrong" in row:
        return "WRONG"
    if "ms" not in row:
        return "-"
    if row["way"] == row["yardstick"]:
        told = "="
    else:
        told = f"{row['ratio']:.2f}x" if "ratio" in row else f"{row['ms']:.3g} ms"
    if "mb" in row:
        told += f" {row['mb']:.3g} MB"
    return told + (f" ({row['less_memory']:.3g}x less)" if row["ours"] and "less_memory" in row else "")


def _memory(rows: list[Row]) -> str:
    lengths = sorted({row["case"]["tokens"] for row in rows})
    found: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        name = (row["way"], "fwd+bwd" if row["case"]["backward"] else "fwd")
        found.setdefault(name, {})[row["case"]["tokens"]] = f"{row['mb']:.3g}" if "mb" in row else row["why"]
    head = ["way", "pass", *(f"{tokens} tokens" for tokens in lengths)]
    return aligned([head, *([*name, *(by.get(tokens, "-") for tokens in lengths)] for name, by in found.items())])


def _footnotes(rows: list[Row]) -> str:
    """Why there is no figure, each reason once."""
    reasons: dict[str, None] = {}
    for row in rows:
        if "wrong" in row:
            reasons[f"WRONG {row['way']}, {named(row['case'])}: {row['wrong']}"] = None
        elif "why" in row:
            reasons[f"{row['way']}: {row['why']}"] = None
    return "".join(f"\n  - {reason}" for reason in reasons)


def _alarms(found: dict[str, Any]) -> str:
    """On the chip that figures are published for: how far from them, and what cannot be."""
    if "H100" not in found["machine"]["device"] and "H200" not in found["machine"]["device"]:
        return ""
    lines = []
    for row in found["rows"]:
        case = row["case"]
        if row["section"] != "attention" or row["way"] != "fast" or "tflops" not in row or case["pass"] != "fwd":
            continue
        if anchor := flash_3(case["width"], case["mask"], case["tokens"]):
            lines.append([named(case), f"{row['tflops']:.0f}", f"{row['tflops'] / anchor:.0%}"])
        if row["tflops"] > 0.8 * NOMINAL:
            lines.append(["ALARM: faster than this chip can be; look for an error of timing or counting", "", ""])
    title = "fast, forward, beside FlashAttention-3 as published for an H100 (float16)"
    return f"{title}\n{aligned([['case', 'TFLOP/s', 'of it'], *lines])}" if lines else ""


def _claims(found: dict[str, Any]) -> str:
    if found["quick"]:
        return "--quick: the sizes are too small to say whether the promises are kept"
    lines = []
    for row in found["claims"]:
        claim = Claim(**row)
        lines.append(
            f"{'held' if claim.held else 'NOT HELD'}: {claim.text}; {claim.worst:.3g} at the worst ({claim.where})"
        )
    return "\n".join(lines)


def aligned(lines: list[list[str]]) -> str:
    """Columns side by side, all but the first to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
