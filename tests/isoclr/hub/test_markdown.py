"""Names in cards are text: no links, no images, no HTML, no cells of their own."""

import json
import re

import pytest

from data_builders.records import InputError
from isoclr.hub.dataset_card import render_dataset_card
from isoclr.hub.markdown import code, environment, escape, image, link

HOSTILE = {
    "[click](http://evil)": "[click\\](http&#58;//evil)",
    "![x](http://evil/p.png)": "\\![x\\](http&#58;//evil/p.png)",
    "<script>alert(1)</script>": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<img src=x onerror=y>": "&lt;img src=x onerror=y&gt;",
    "a | b": "a \\| b",
    "`code`": "\\`code\\`",
    "**bold**": "\\*\\*bold\\*\\*",
    "~~gone~~": "\\~~gone\\~~",
    "$$x^2$$": "\\$\\$x^2\\$\\$",
    "https://evil": "https&#58;//evil",
    "www.evil.com": "www&#46;evil.com",
    "me@evil.com": "me&#64;evil.com",
    "&lt;b&gt;": "&amp;lt;b&amp;gt;",
    "a\n\n# heading": "a # heading",
    "\\": "\\\\",
    "{{ 7 * 7 }}": "{{ 7 \\* 7 }}",
}
PLAIN = ["Homo sapiens", "batch_size", "0.5 ± 0.1", "[16, 32]", "R&D", "a! b", "+0.110", "5'→3'"]


@pytest.mark.parametrize(("text", "wanted"), HOSTILE.items())
def test_what_means_something_in_markdown_is_escaped(text, wanted):
    assert escape(text) == wanted


@pytest.mark.parametrize("text", PLAIN)
def test_what_means_nothing_stays(text):
    assert escape(text) == text


def test_templates_escape_values_not_their_own_text(tmp_path):
    (tmp_path / "t.md").write_text("[a](b) {{ x }} {{ code(x) }} {{ n(1234) }} {{ [1, 2] }}")
    made = environment([tmp_path]).get_template("t.md").render(x="a|`<b>")
    assert made == "[a](b) a\\|\\`&lt;b&gt; `a\\|'<b>` 1,234 [1, 2]"


def test_spans_links_and_images():
    assert code("a`b\nc") == "`a'b c`" and code("") == ""
    assert link("a", "javascript:alert(1)") == "`a`" == link("a", "file:///etc/passwd")
    assert link("a", "https://x/y z)(") == "[`a`](https://x/y%20z%29%28)"
    assert image("a](b", "r) (x/p.png") == "![a\\](b](r%29%20%28x/p.png)"


def report(name, **changes):
    counts = {"read": 1, "kept": 1, "skipped": {name: 1}, "adjusted": {}}
    file = {"name": name, "sha256": "0" * 64, "url": "https://x/y"}
    dataset = {
        "groups": 1,
        "transcripts": 1,
        "genes": 1,
        "nucleotides": 1,
        "with_cds": 1,
        "with_exon_structure": 1,
        "exon_junctions": 1,
        "species": {name: 1},
        "transcripts_per_group": {"1": 1},
    }
    source = {"species": name, "files": {"genome": file}, **counts}
    made = {"sources": [source], "homology": None, "dataset": dataset}
    return made | {"grouping": {**counts, "max_length": 9}} | changes


@pytest.mark.parametrize("name", HOSTILE)
def test_a_dataset_s_card_shows_names_as_text(name):
    card, wanted = (
        re.sub("`+[^`]*`+", "", render_dataset_card("o/n", {"default": report(one)}))
        for one in (name, "harmless")
    )
    for mark in (r"(?<!\\)\]\(", "<", r"\n\|", r"\n#", r"(?<!\\)!\[", "://", r"www\."):
        assert len(re.findall(mark, card)) == len(re.findall(mark, wanted)), mark


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": []},
        {"dataset": {}},
        {"sources": [1]},
        {"sources": {}},
        {"grouping": {"read": "x"}},
        {"grouping": None},
        {"homology": [1]},
    ],
)
def test_a_report_of_another_form_is_one_clear_line(changes):
    with pytest.raises(InputError) as error:
        render_dataset_card("o/n", {"default": report("x") | changes})
    assert "is not what isoclr build writes" in str(error.value)
    assert "\n" not in str(error.value) and json.dumps(changes)
