"""What a run leaves out and what it holds fast."""

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from grader.pipeline import kernel
from grader.pipeline.execute import WIDGET, without_widget
from grader.pipeline.refusal import Refused


def output(**data):
    return new_output("display_data", data)


def test_a_widget_alone_is_dropped_and_its_twin_stays():
    view = {WIDGET: {"model_id": "1"}}
    assert without_widget(output(**view, **{"text/plain": "VBox(children=(IntSlider(value=0),))"})) is None
    assert without_widget(output(**view)) is None
    kept = without_widget(output(**view, **{"text/plain": "a) one\nb) two"}))
    assert kept.data == {"text/plain": "a) one\nb) two"}
    picture = output(**{"text/html": "<img>", "text/plain": "Figure(1)"})
    assert without_widget(picture) == picture


def test_the_environment_has_one_thread_no_network_and_nothing_of_the_caller(monkeypatch):
    for name in ("MPLBACKEND", "ATTNLAB_SEED", "ATTNLAB_STRICT", "NBGRADER_EXECUTION"):
        monkeypatch.setenv(name, "mine")
    environment = kernel.environment(Path("/course"), Path("/progress.json"), ATTNLAB_STRICT="1")
    assert environment["OMP_NUM_THREADS"] == environment["HF_HUB_OFFLINE"] == environment["ATTNLAB_STRICT"] == "1"
    assert environment["ATTNLAB_PROGRESS"] == "/progress.json"
    assert not {"MPLBACKEND", "ATTNLAB_SEED", "NBGRADER_EXECUTION"} & set(environment)


def test_a_dead_kernel_is_refused_with_the_cell_that_killed_it(tmp_path):
    notebook = new_notebook(cells=[new_code_cell("1"), new_code_cell("import os; os._exit(1)")])
    with pytest.raises(Refused, match="lessons/x.ipynb, cell 2: expected the lesson to run"):
        kernel.run(notebook, tmp_path, tmp_path, "lessons/x.ipynb")


def test_memory_is_measured(tmp_path):
    notebook = new_notebook(cells=[new_code_cell("block = bytearray(300_000_000)\ndel block")])
    assert kernel.run(notebook, tmp_path, tmp_path, "x")["peak_mb"] > 300
