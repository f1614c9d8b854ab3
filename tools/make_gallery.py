"""Make the gallery: execute gallery/gallery.py as a notebook, and keep its pictures.

python tools/make_gallery.py      writes gallery/gallery.ipynb and gallery/pictures/<view>.png
"""

import base64
import re
import shutil
import sys
from pathlib import Path

import jupytext
import nbformat

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from grader.pipeline import kernel  # noqa: E402
from grader.pipeline.closure import hash_of  # noqa: E402

FOLDER = ROOT / "gallery"
PICTURE = re.compile(r'<img src="data:image/png;base64,([^"]+)"')


def notebook() -> nbformat.NotebookNode:
    """The gallery as its source says, not executed; ids are the cells' numbers, so that they stay."""
    made = jupytext.reads((FOLDER / "gallery.py").read_text(encoding="utf-8"), fmt="py:percent")
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    made.metadata["attnlab"] = {"hash": hash_of([cell.source for cell in made.cells], code, ROOT)}
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def main() -> None:
    made = notebook()
    measured = kernel.run(made, FOLDER, ROOT, "gallery/gallery.py")
    pictures = FOLDER / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir()
    for cell in made.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            found = PICTURE.search(output.get("data", {}).get("text/html", ""))
            if found and "view" in cell.metadata:
                (pictures / f"{cell.metadata['view']}.png").write_bytes(base64.b64decode(found[1]))
    made.metadata["language_info"] = {"name": "python"}  # the kernel's own version would change with the machine
    nbformat.write(made, FOLDER / "gallery.ipynb")
    size = (FOLDER / "gallery.ipynb").stat().st_size / 1e6
    print(f"gallery: {len(list(pictures.iterdir()))} pictures, {size:.1f} MB, {measured['seconds']:g} s")


if __name__ == "__main__":
    main()
