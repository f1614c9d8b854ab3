"""A missing or changed data file is told in plain words; what ORIGIN.md says is what the loaders hold."""

import numpy as np
import pytest

from attnlab.data import DataError, clip, digits
from attnlab.data.verified import FOLDER, load_verified


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="Expected the data file digits.npz .* Fetch it again"):
        load_verified("digits.npz", digits.SHA256, folder=tmp_path)


def test_a_changed_file_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "digits.npz", images=np.zeros((2, 2)))
    with pytest.raises(DataError, match="sha256 b2dab7b50172.* got .* Fetch it again"):
        load_verified("digits.npz", digits.SHA256, folder=tmp_path)


@pytest.mark.parametrize(("name", "loader"), [("digits.npz", digits), ("clip.npz", clip)])
def test_origin_names_the_file_its_sha256_and_its_size(name, loader):
    origin = (FOLDER / "ORIGIN.md").read_text()
    section = origin.split(f"## {name}")[1].split("\n## ")[0]
    assert loader.SHA256 in section
    assert f"({(FOLDER / name).stat().st_size:,} bytes)" in section
    assert "**Licence**" in section


def test_no_data_file_without_an_origin():
    origin = (FOLDER / "ORIGIN.md").read_text()
    assert [path.name for path in FOLDER.glob("*.npz") if f"## {path.name}" not in origin] == []
