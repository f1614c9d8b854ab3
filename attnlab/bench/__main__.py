"""Measure `attnlab.fast` beside torch's function, FlexAttention, the textbook's form and other libraries, in one run.

python -m attnlab.bench                          everything that this machine can, some minutes; saved under build/
python -m attnlab.bench --quick                  small sizes, under a minute: does it run, and is everything right
python -m attnlab.bench --only attention,padding --tokens 4096,16384 --dtypes bfloat16 --plot build/bench.png

Ends with 1 when a result was wrong; the figures of the others are saved all the same.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from attnlab.bench import attention, gates, memory, others, padding, peers, plot, report, windows
from attnlab.bench.machine import ceilings, machine
from attnlab.bench.measuring import Row, Setting

SECTIONS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "attention": attention.rows,
    "others": others.rows,
    "padding": padding.rows,
    "windows": windows.rows,
    "gates": gates.rows,
    "peers": peers.rows,
    "memory": memory.rows,
}
DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m attnlab.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", type=_device, help="cuda or cpu; cuda where there is one, unless given")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--only", type=_names, default=list(SECTIONS), help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--tokens", type=_numbers, default=(), help="lengths of attention, such as 512,16384")
    parser.add_argument("--widths", type=_numbers, default=(), help="of a head in attention, such as 64,128")
    parser.add_argument("--dtypes", type=_dtypes, default=(), help="of attention, such as bfloat16,float16")
    parser.add_argument("--seconds", type=float, help="for the rounds of one case; 1 unless given, 0.05 with --quick")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU; more than one misleads where others work too")
    parser.add_argument("--json", type=Path, help="build/bench-DEVICE-DATE.json unless given")
    parser.add_argument("--plot", type=Path, help="also draw the roofline and the ratios there (.png, .svg)")
    return parser.parse_args(words)


def _names(text: str) -> list[str]:
    chosen = [name.strip() for name in text.split(",")]
    if unknown := [name for name in chosen if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    return chosen


def _device(text: str) -> torch.device:
    kind = text.split(":")[0]
    if kind not in ("cuda", "cpu"):
        raise argparse.ArgumentTypeError(f"expected cuda or cpu, got {text}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("expected a CUDA device, torch finds none; leave it out to measure the CPU")
    return torch.device(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _dtypes(text: str) -> tuple[torch.dtype, ...]:
    if unknown := [name for name in text.split(",") if name not in DTYPES]:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(DTYPES)}, got {', '.join(unknown)}")
    return tuple(DTYPES[name] for name in text.split(","))


def setting_of(asked: argparse.Namespace) -> Setting:
    device = asked.device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        usual, lengths, widths = (torch.bfloat16, torch.float16), attention.LENGTHS, attention.WIDTHS
    else:
        torch.set_num_threads(asked.threads)
        # float16 only where it is asked for: on a CPU without instructions for it, it is 30 times as slow.
        usual, lengths, widths = (torch.float32, torch.bfloat16), (512, 2048, 8192, 16384), attention.WIDTHS
    if asked.quick:
        usual, lengths, widths = usual[:1], (512,) if device.type == "cuda" else (128,), (64,)
    dtypes = asked.dtypes or usual
    # Other sections have dtypes of their own, whose ceiling is wanted as well.
    own = (torch.bfloat16, torch.float16) if device.type == "cuda" else (torch.float32,)
    measured = ceilings(device, tuple(dict.fromkeys((*dtypes, *own))), asked.quick)
    seconds = asked.seconds or (0.05 if asked.quick else 1.0)
    sizes = asked.tokens or lengths, asked.widths or widths, dtypes
    chosen = bool(asked.tokens or asked.widths or asked.dtypes)
    return Setting(device, asked.quick, seconds, measured, *sizes, chosen)


def main(words: list[str] | None = None) -> int:
    asked = arguments(words)
    setting = setting_of(asked)
    where = machine(setting.device)
    if not setting.on_gpu:
        print("No GPU here or none asked for: this is about the CPU.", file=sys.stderr)
    rows: list[Row] = []
    gc.freeze()  # what is loaded by now stays; looking through it before every case would take longer than the case
    for name in asked.only:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        rows += SECTIONS[name](setting)
    found = report.report(where, setting.ceilings, rows, asked.quick)
    path = asked.json or Path("build", f"bench-{setting.device.type}-{where['date'][:10]}.json")
    report.save(found, path)
    if asked.plot:
        plot.save(found, asked.plot)
    print(report.text(found))
    print(f"\nsaved: {path}", file=sys.stderr)
    return 1 if any("wrong" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
