"""The gallery is the one that its source and today's views make."""

import re

import nbformat

from tests.repository.test_environments import ROOT
from tools import make_gallery

MADE = nbformat.read(ROOT / "gallery/gallery.ipynb", as_version=4)


def test_it_is_not_stale():
    assert MADE.metadata.attnlab.hash == make_gallery.notebook().metadata.attnlab.hash, "run `make gallery`"


def test_every_view_is_in_it_with_a_picture_and_a_description():
    from attnlab.viz import views

    shown = {cell.metadata.view for cell in MADE.cells if "view" in cell.metadata}
    assert shown >= {name for name in views.__all__ if name[0].islower() and name != "fitting_view"} | {"bertviz"}
    for cell in MADE.cells:
        if "view" in cell.metadata:
            page = cell.outputs[0].data["text/html"]
            assert re.search(r'<img src="data:image/png;base64,[^"]{2000,}" alt="[^"]{60,}"', page), cell.metadata.view
            assert (ROOT / f"gallery/pictures/{cell.metadata.view}.png").stat().st_size > 2_000


def test_the_readme_shows_two_of_its_pictures():
    shown = re.findall(r"!\[[^\]]{40,}\]\((gallery/pictures/\w+\.png)\)", (ROOT / "README.md").read_text())
    assert len(shown) >= 2
    assert all((ROOT / picture).exists() for picture in shown)
