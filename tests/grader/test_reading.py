"""What a submitted file is read as: cells and their names, or a sentence about why not."""

import json

import pytest

from grader.referee.reading import Unreadable, names_of, read_cells


class TestNames:
    @pytest.mark.parametrize(
        ("text", "defines", "needs"),
        [
            ("x = 1", "x", ""),
            ("x = y + 1", "x", "y"),
            ("x = x + 1", "x", "x"),
            ("x += 1", "x", "x"),
            ("import torch.nn as nn\nimport numpy.linalg", "nn numpy", ""),
            ("from a import b as c", "c", ""),
            ("for i in items:\n    total = i", "i total", "items"),
            ("with open(p) as f:\n    pass", "f", "open p"),
            ("def f(a, b=d):\n    return g(a)", "f", "d"),
            ("class A(B):\n    x = y\n    def m(self): return z", "A", "B y"),
            ("[k * n for k in rows]", "", "n rows"),
            ("if flag:\n    x = 1\nprint(x)", "x", "flag print x"),
            ("try:\n    x = 1\nexcept E:\n    pass\nuse(x)", "x", "E use x"),
            ("a, (b, *c) = rows", "a b c", "rows"),
            ("if (n := f()):\n    pass", "n", "f"),
            ("%matplotlib inline\n!ls\nx = 1", "x", ""),
            ("%%time\nx = y", "x", "y"),
            ("def (", "", ""),
        ],
    )
    def test_of_one_cell(self, text, defines, needs):
        names = names_of(text)
        assert names.defines == set(defines.split()) and names.needs == set(needs.split())

    def test_what_a_function_looks_up_is_late(self):
        names = names_of("def f(a):\n    local = a\n    return lambda: helper(local) + OTHER")
        assert {"helper", "OTHER"} <= names.late and not {"a", "local"} & (names.late | names.needs)

    def test_a_global_statement_defines(self):
        assert "kept" in names_of("def f():\n    global kept\n    kept = 1").defines

    @pytest.mark.parametrize("text", ["(" * 5000, "-" * 100_000 + "1", "a" + ".a" * 50_000, "x = '" + "\0" + "'"])
    def test_what_breaks_a_parser_has_no_names(self, text):
        assert not names_of(text).needs


class TestFiles:
    def test_sources_as_lists_and_as_text_read_the_same(self):
        cell = {"cell_type": "code", "metadata": {}, "outputs": []}
        data = json.dumps({"cells": [{**cell, "source": ["a = 1\n", "b = 2"]}, {**cell, "source": "a = 1\nb = 2"}]})
        first, second = read_cells(data.encode())
        assert first == second and first["text"] == "a = 1\nb = 2"

    def test_metadata_of_any_shape_is_no_reason_to_fail(self):
        odd = [{"cell_type": 3, "source": 4, "metadata": [1]}, {"metadata": {"nbgrader": [], "tags": "x"}}, 7, None]
        cells = read_cells(json.dumps({"cells": odd}).encode())
        assert [cell["kind"] for cell in cells] == ["raw", "raw"] and not any(cell["text"] for cell in cells)

    def test_a_byte_order_mark_is_read_over(self):
        assert read_cells(b"\xef\xbb\xbf" + b'{"cells": []}') == []

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "JSON"),
            (b"{", "JSON"),
            (b"\xff\xfe{\x00", "JSON"),
            (b"[" * 200_000, "JSON"),
            (b"[]", "object"),
            (b"{}", "list of cells"),
            (b'{"cells": {}}', "list of cells"),
            (b'{"worksheets": []}', "format 3"),
            (b'{"cells": [' + b"{}," * 3000 + b"{}]}", "at most 2000"),
        ],
    )
    def test_what_is_no_notebook_is_said_in_words(self, data, said):
        with pytest.raises(Unreadable, match=said):
            read_cells(data)
