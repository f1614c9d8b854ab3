"""The front end: one ES module without dependencies, in parts.

The parts share one scope and import nothing; joined in this order they are the module. There is no build step.
"""

import functools
import json
from pathlib import Path

PARTS = (
    *("bytes", "ink", "raster", "grid", "stage"),
    *("heatmap", "heads", "links", "neuron", "compare", "overlay", "space_time", "gate"),
    "shells",
)


@functools.cache
def module() -> str:
    """The front end as one ES module, its style sheet inside."""
    folder = Path(__file__).parent
    style = (folder / "style.css").read_text(encoding="utf-8")
    parts = [(folder / f"{part}.js").read_text(encoding="utf-8") for part in PARTS]
    lines = (line.strip() for part in parts for line in part.splitlines())
    # Comments and indentation stay here: they would be a third of what every figure carries.
    return "\n".join([f"const STYLE = {json.dumps(style)};", *(line for line in lines if not line.startswith("//"))])
