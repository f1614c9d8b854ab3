"""Similar answers: copies are found under other names and another layout, and people who thought alike rank below."""

import ast
import inspect
import json
import random
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.checks.self_attention import check
from grader.pages.fingerprints import GRAM, WINDOW, fingerprints, grams, tokens
from grader.pages.similar import REFERENCE, common_spans, compare, similar
from grader.pages.similar_page import similar_page, write_similar
from tests.grader.test_feedback import HOSTILE, Skeleton, text_of

ROOT = Path(__file__).parents[2]
EXERCISE = "attention"


def cells(folder: str) -> dict[str, str]:
    """Solution cells of lesson 05: grade_id -> text."""
    notebook = json.loads((ROOT / folder / "05_self_attention/05_self_attention.ipynb").read_text(encoding="utf-8"))
    marked = [(cell, cell["metadata"].get("nbgrader", {})) for cell in notebook["cells"]]
    found = {stamp["grade_id"]: "".join(cell["source"]) for cell, stamp in marked if stamp.get("solution")}
    return {name: "\n".join(line for line in text.split("\n") if "###" not in line) for name, text in found.items()}


STUBS, SOLUTIONS = cells("lessons"), cells("solutions")
OWN_WORDS = '''
def attention(query, key, value, mask=None):
    """(..., q, d), (..., k, d), (..., k, e) in; output (..., q, e) and weights (..., q, k) out."""
    root = math.sqrt(query.size(-1))
    table = torch.einsum("...ij,...kj->...ik", query / root, key)
    if mask is None:
        return table.softmax(-1).matmul(value), table.softmax(-1)
    table[~mask.expand_as(table)] = float("-inf")
    share = torch.nan_to_num(torch.exp(table - table.logsumexp(-1, keepdim=True)), nan=0.0)
    return share.matmul(value), share
'''


def renamed(text: str) -> str:
    """Every argument and every variable called otherwise."""
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)} - {"self"}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    other = {name: f"other_{place}" for place, name in enumerate(sorted(own))}
    for node in nodes:
        if isinstance(node, ast.arg):
            node.arg = other.get(node.arg, node.arg)
        if isinstance(node, ast.Name):
            node.id = other.get(node.id, node.id)
    return ast.unparse(tree)


def laid_out(text: str, seed: int = 0) -> str:
    """The same with other comments, blank lines, widths of indentation and spaces."""
    draw = random.Random(seed)
    lines = []
    for line in text.strip().split("\n"):
        deeper = " " * (len(line) - len(line.lstrip())) + line.replace(", ", " ,  ").replace(" = ", "=")
        lines += [deeper + draw.choice(["", "  # as we said", "   "]), *[""] * draw.randrange(2)]
        lines += [deeper[: len(deeper) - len(deeper.lstrip())] + f"# note {draw.random()}"] * draw.randrange(2)
    return "\n".join(lines)


def commented(comment: str) -> str:
    """OWN_WORDS with a comment of one line in their midst, where two copies have everything in common."""
    return OWN_WORDS.replace("    share =", f"    # {comment}\n    share =", 1)


def variants(name: str) -> dict[str, str]:
    """Right answers that were written independently: the functions among those that the exercise must accept."""
    kept = {}
    for label, answer in check.exercises[name].also_right.items():
        text = textwrap.dedent(inspect.getsource(answer))
        if text.startswith(("def", "class")):
            kept[label] = text.replace(answer.__name__, name)
    return kept


@pytest.fixture(scope="module")
def class_of_attention() -> dict[str, dict[str, str]]:
    """Independent answers, three of which were copied in disguise, and answers much like the reference."""
    texts = dict(variants(EXERCISE))
    assert len(texts) >= 5
    texts |= {"ada": OWN_WORDS, "bob, renamed": renamed(OWN_WORDS), "cy, laid out": laid_out(OWN_WORDS)}
    texts |= {"di, both": laid_out(renamed(OWN_WORDS), seed=3)}
    texts |= {"read the solution": renamed(SOLUTIONS[EXERCISE])}
    return {student: {EXERCISE: text} for student, text in texts.items()}


def test_a_copy_is_found_under_other_names_and_another_layout(class_of_attention):
    pairs = similar(class_of_attention, STUBS, SOLUTIONS)
    copies = {"ada", "bob, renamed", "cy, laid out", "di, both"}
    first = [pair for pair in pairs if not pair.reference][:6]
    assert {(p.left, p.right) for p in first} == {(a, b) for a in copies for b in copies if a < b}
    assert all(pair.share > 0.95 for pair in first)


def test_who_thought_alike_ranks_below_who_copied(class_of_attention):
    pairs = similar(class_of_attention, STUBS, SOLUTIONS)
    independent = set(variants(EXERCISE))
    alike = [pair.share for pair in pairs if {pair.left, pair.right} <= independent | {"ada", REFERENCE}]
    copied = [p.share for p in pairs if {p.left, p.right} <= {"ada", "bob, renamed", "cy, laid out", "di, both"}]
    assert len(copied) == 6
    assert max(alike, default=0) < 0.6 < min(copied)


@pytest.mark.parametrize("name", ["attention", "SelfAttention1d", "rows_sum_to_one"])
def test_a_copy_of_anybody_ranks_above_all_who_wrote_their_own(name):
    own = {student: {name: text} for student, text in variants(name).items()}
    compared = set(own) - set(compare(own, STUBS, {}).too_short.get(name, []))
    assert len(compared) >= 2
    for student in compared:
        copied = own | {"copy": {name: laid_out(renamed(own[student][name]))}}
        first, *rest = similar(copied, STUBS, {})
        assert {first.left, first.right} == {student, "copy"}
        assert all(pair.share < first.share / 2 for pair in rest)


def test_names_of_ones_own_are_one_class_and_the_librarys_are_kept():
    kinds = [token.kind for token in tokens('"""Doc."""\nif a.softmax(-1) > self.mine:  # so\n    return f"{b}"\n')]
    assert kinds == ["if", "NAME", ".", "softmax", "-", "NUMBER", ">", "NAME", ".", "NAME", ":", "return", "STRING"]


def test_an_answer_taken_from_the_solution_is_found_beside_the_solution(class_of_attention):
    found = [pair for pair in similar(class_of_attention, STUBS, SOLUTIONS) if pair.reference]
    assert (found[0].left, found[0].right) == ("read the solution", REFERENCE)
    assert found[0].share > 0.95


def test_what_was_handed_out_is_no_evidence():
    stub = "def f(a, b):\n    table = [[0.0 for _ in a] for _ in b]\n    for i in range(9):\n        table[i] = a[i]\n"
    answers = {
        "ann": {"f": stub + "    return table @ b.softmax(-1)\n"},
        "bob": {"f": stub + "    return sum(a) + 3\n"},
    }
    assert similar(answers, {"f": stub}, {}) == []
    assert len(compare(answers, {"f": stub}, {}).too_short["f"]) == 2
    assert similar(answers, {}, {})[0].share > 0.5, "without the stub it is all they have in common"


def test_what_a_good_part_of_the_class_wrote_is_no_evidence():
    sources = {f"student{place:02}": {EXERCISE: SOLUTIONS[EXERCISE]} for place in range(20)}
    sources |= {name: {EXERCISE: text} for name, text in variants(EXERCISE).items()}
    sources |= {"ada": {EXERCISE: OWN_WORDS}, "bob": {EXERCISE: laid_out(OWN_WORDS)}}
    pairs = similar(sources, STUBS, {})
    assert {pairs[0].left, pairs[0].right} == {"ada", "bob"}
    assert not any(pair.left.startswith("student") for pair in pairs)


def test_one_line_is_too_short_to_say_anything():
    lines = ("dot_product_scores", "scale", "causal_mask")
    sources = {student: {name: SOLUTIONS[name] for name in lines} for student in ("ada", "bob")}
    comparison = compare(sources, STUBS, SOLUTIONS)
    assert comparison.pairs == []
    assert comparison.too_short == {name: ["ada", "bob"] for name in sorted(lines)}


def test_two_students_alone_can_be_alike():
    sources = {"ada": {EXERCISE: OWN_WORDS}, "bob": {EXERCISE: renamed(OWN_WORDS)}}
    (pair,) = similar(sources, STUBS, {})
    assert (pair.left, pair.right, pair.exercise) == ("ada", "bob", EXERCISE)
    assert pair.share == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(SOLUTIONS))
def test_python_and_the_tolerant_rule_see_the_same_tokens(name):
    """A copy that no longer is Python (a bracket lost at its end) keeps its fingerprints."""
    for text in (SOLUTIONS[name], laid_out(SOLUTIONS[name]), *variants(name).values(), OWN_WORDS):
        broken = text.rstrip() + "\nextra = (1 +"
        whole = [token.kind for token in tokens(text)]
        assert [token.kind for token in tokens(broken)][: len(whole)] == whole


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_tokens_that_lie_in_it(text):
    places = [(token.start, token.end) for token in tokens(text)]
    assert places == sorted(places)
    assert all(0 <= start < end <= len(text) for start, end in places)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["a", "+", "1", "[", ".softmax", "if", "*"]), min_size=WINDOW + GRAM - 1, max_size=40))
def test_a_run_long_enough_is_caught_wherever_it_stands(words):
    """The guarantee of winnowing: equal runs of WINDOW + GRAM - 1 tokens have a fingerprint in common."""
    shared = " ".join(words)
    kept = [
        {gram.hash for gram in fingerprints(text)} for text in (f"x = 3 ; {shared}", f"def f ( y ) : {shared} [ 2 ]")
    ]
    assert kept[0] & kept[1]
    assert {gram.hash for gram in fingerprints(shared)} <= {gram.hash for gram in grams(shared)}


def test_the_marks_lie_on_what_both_have():
    left, right = "a = 1\nreturn x.softmax(-1) @ y + 3\n", "# other\nfor i in k: pass\nreturn u.softmax(-1) @ v + 3\n"
    ours, theirs = common_spans(left, right)
    assert [left[start:end] for start, end in ours] == ["return x.softmax(-1) @ y + 3"]
    assert [right[start:end] for start, end in theirs] == ["return u.softmax(-1) @ v + 3"]


def test_the_page_shows_both_texts_and_gives_no_verdict(class_of_attention, tmp_path):
    comparison = compare(class_of_attention, STUBS, SOLUTIONS)
    path = write_similar(comparison, class_of_attention, STUBS, SOLUTIONS, tmp_path / "similar.html")
    told = text_of(path.read_text(encoding="utf-8"))
    assert "It is no verdict" in told
    assert "attention: ada and bob, renamed" in told
    assert json.loads((tmp_path / "similar.json").read_text())["pairs"][0]["share"] > 0.95
    skeleton = Skeleton(path.read_text(encoding="utf-8"))
    assert OWN_WORDS.strip() in "".join(skeleton.texts)
    assert ("mark", ()) in skeleton.shape


def test_what_students_wrote_makes_no_tag_in_the_list():
    def listed(texts):
        bodies = [commented(text) for text in texts]
        sources = {
            f"{place}{text}": {EXERCISE: body} for place, (text, body) in enumerate(zip(texts, bodies, strict=True))
        }
        return similar_page(compare(sources, STUBS, SOLUTIONS), sources, STUBS, SOLUTIONS)

    assert len(HOSTILE) % 3 == 0
    for place in range(0, len(HOSTILE), 3):
        page = listed([text.replace("\n", " ").replace("\r", " ") for text in HOSTILE[place : place + 3]])
        assert Skeleton(page).shape == Skeleton(listed(["a", "b", "c"])).shape
        page.encode("utf-8")


def mutated(text: str, draw: random.Random) -> str:
    """The text with some of its names, numbers and operators changed: an answer of somebody else's."""
    words = [("name", ["a", "b.mean", "c.sum", "d.exp"]), ("+", ["-", "*", "/", "@"]), ("1", ["(1, 2)", "[0]", "x()"])]
    lines = text.strip().split("\n")
    for _ in range(draw.randrange(1, 8)):
        place = draw.randrange(1, len(lines))
        made = f"v = {' '.join(draw.choice(draw.choice(words)[1]) + ' +' for _ in range(draw.randrange(2, 9)))} 1"
        indent = " " * (len(lines[place]) - len(lines[place].lstrip()))
        lines.insert(place, indent + made)
    return "\n".join(lines)


@pytest.mark.slow
def test_a_thousand_students_by_eight_exercises_take_seconds():
    draw = random.Random(1)
    pool = {name: [text, *variants(name).values()] for name, text in SOLUTIONS.items()} | {"own": [OWN_WORDS]}
    sources = {
        f"student{place:04}": {name: mutated(draw.choice(texts), draw) for name, texts in pool.items()}
        for place in range(1_000)
    }
    assert len(sources["student0000"]) == 8
    start = time.process_time()
    comparison = compare(sources, STUBS, SOLUTIONS)
    taken = time.process_time() - start
    print(f"{taken:.1f} s of CPU, {len(comparison.pairs):,} pairs")
    assert taken < 60
    similar_page(comparison, sources, STUBS, SOLUTIONS)
