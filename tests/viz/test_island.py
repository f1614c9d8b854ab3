"""The HTML of a figure: the same every time, safe with any token, and asking nobody."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from attnlab.viz import AttentionRecord, front, heads, heatmap
from attnlab.viz.front import PARTS, module
from tests.viz.records import WORDS, random_record, random_weights

FRONT = Path(front.__file__).parent
HOSTILE = ("</script><b>", "<img src=x onerror=alert(1)>", "&amp;", "\u2028", '"')


def test_the_same_record_gives_the_same_bytes():
    assert heads(random_record()).html() == heads(random_record()).html()
    assert heads(random_record()).name != heatmap(random_record()).name


def test_tokens_cannot_end_the_script_or_start_a_tag():
    page = heatmap(AttentionRecord(random_weights(5, 5), query_labels=HOSTILE)).html()
    assert page.count("</script>") == 1 and page.endswith("</script></div>")
    assert "<img src=x" not in page and "<b>" not in page


def test_nothing_is_fetched():
    page = heads(random_record()).html()
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert not re.search(r"""https?://""", module())


def test_the_picture_with_its_description_and_table_is_inside():
    page = heatmap(random_record(), title="Cats look at cats").html()
    assert re.search(r'<img src="data:image/png;base64,[^"]{1000,}" alt="Cats look at cats\. Self-attention', page)
    assert "<table>" in page and "<th scope" in page


def test_every_element_that_takes_the_focus_keeps_letters_to_itself():
    assert "<summary>" not in heatmap(random_record()).html()


def test_the_module_is_one_that_a_script_engine_reads(tmp_path):
    file = tmp_path / "module.mjs"
    file.write_text(module())
    run = subprocess.run(["node", "--check", file], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_parts_share_one_scope_without_clashes():
    parts = "\n".join((FRONT / f"{part}.js").read_text() for part in PARTS)
    names = re.findall(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", parts, flags=re.M)
    assert len(names) > 50
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    assert len(PARTS) == len(set(PARTS))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".html"])
def test_it_can_be_saved_and_is_the_same_bytes_each_time(suffix, tmp_path):
    record = AttentionRecord(np.array(random_weights(5, 5)), query_labels=WORDS)
    first, second = (heatmap(record).save(tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert first == second and len(first) > 2_000


def test_a_record_shows_itself():
    assert "attnlab-island" in random_record()._repr_mimebundle_()["text/html"]
