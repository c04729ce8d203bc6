"""The page of a report: whole, self-contained, safe, and alive in a real browser."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest

from data_builders.groups.parquet import read_groups
from data_builders.records import Transcript
from isoclr.cli import main
from isoclr.report import Prediction, make_report, report_page, write_report

HOSTILE = '"><img src=x onerror=alert(1)><script>document.title="taken"</script>'


@pytest.fixture(scope="module")
def report(groups_folder, model_folder):
    """Of the transcripts of eight simulated groups, and two with names that attack."""
    members = [t for group in list(read_groups(groups_folder))[:8] for t in group.transcripts]
    members.append(Transcript(HOSTILE, "{{ 7 * 7 }}", "<b>fly", "ACGATGAAATAAGG", 3, 12, (4,)))
    members.append(Transcript("plain", "{{ 7 * 7 }}", "<b>fly", "ACGATGAATAAGG"))
    return make_report(members, model_folder, title=HOSTILE, progress=False)


@pytest.fixture(scope="module")
def with_prediction(report):
    n = len(report.transcripts)
    values = np.linspace(-1, 1, n)
    prediction = Prediction(
        name="half-life",
        values=values,
        low=values - 0.5,
        high=values + 0.5,
        coverage=0.9,
        note="A ridge; <b>held out</b>.",
        warnings=["far from training", *[""] * (n - 1)],
    )
    return replace(report, predictions=(prediction,))


def test_the_page_needs_nothing_beside_it(with_prediction):
    page = report_page(with_prediction)
    for reference in (r"https?:", r"\bsrc\s*=", r"url\(", "@import", "<link", r'"//'):
        shown = page.replace(HOSTILE, "").replace("&#34;&gt;&lt;img src=x", "")
        assert not re.search(reference, shown), reference
    assert re.findall(r'href="(\w+:[\w/-]+)', page) == ["data:text/tab-separated-values"]


def test_names_of_files_stay_text(report):
    page = report_page(report)
    assert "<img" not in page and page.count("<script>") == 1 and "<b>fly" not in page
    assert "{{ 7 * 7 }}" in page and "49" not in re.findall(r"<h3>(\d+)", page)


def test_every_transcript_is_in_the_table_that_the_page_carries(with_prediction):
    page = report_page(with_prediction)
    (data,) = re.findall(r"base64,([\w+/=]+)", page)
    lines = base64.b64decode(data).decode().splitlines()
    assert len(lines) == len(with_prediction.transcripts) + 1
    header = lines[0].split("\t")
    assert {len(line.split("\t")) for line in lines} == {len(header)}
    first = dict(zip(header, lines[1].split("\t"), strict=True))
    transcript = with_prediction.transcripts[0]
    assert first["transcript_id"] == transcript.transcript_id
    assert int(first["length"]) == len(transcript.sequence)
    assert first["half-life"] == "-1" and first["half-life_low"] == "-1.5"
    assert "half-life: far from training" in first["warnings"]
    assert f"1 of {len(lines) - 1} transcripts are unlike those" in page


def test_a_prediction_has_its_section_only_when_there_is_one(report, with_prediction):
    assert "Prediction:" not in report_page(report)
    page = report_page(with_prediction)
    assert "Prediction: half-life" in page and "90% interval" in page
    assert "A ridge; &lt;b&gt;held out" in page


def test_one_transcript_makes_a_page(model_folder):
    (transcript,) = [Transcript("one", "one", "s", "ACGATGAAATAAGG")]
    page = report_page(make_report([transcript], model_folder, progress=False))
    assert "A map needs three transcripts." in page and "no CDS" in page


def test_the_page_in_a_browser(with_prediction, browser, tmp_path):
    path = tmp_path / "report.html"
    write_report(with_prediction, path)
    browser.get_log("browser")
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    assert browser.title == f"{HOSTILE} · isoclr report"
    find = browser.find_elements
    assert len(find("tag name", "img")) == 0 and len(find("tag name", "script")) == 1
    circles = find("css selector", "svg.scatter circle")
    assert len(circles) == len(with_prediction.transcripts)
    before = [circle.get_attribute("fill") for circle in circles]
    select = browser.find_element("id", "scheme")
    names = [option.text for option in find("css selector", "#scheme option")]
    assert names[:3] == ["length, nt", "CDS", "gene"] and "predicted half-life" in names
    select.send_keys("gene")
    after = [circle.get_attribute("fill") for circle in circles]
    assert after != before
    shown = [legend.is_displayed() for legend in find("css selector", ".legend")]
    assert shown.index(True) == names.index("gene") and sum(shown) == 1
    for picture in find("css selector", "svg"):
        assert picture.size["width"] > 200 and picture.size["height"] > 20
    # No picture is wider than the page.
    width = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.execute_script(width)


def test_the_command(clade, model_folder, tmp_path, capsys):
    fasta = tmp_path / "some.fa"
    fasta.write_text(">t1\nACGATGAAATAAGGACGT\n>t2\nACGTACGTAGGGGGT\n")
    words = ["report", str(fasta), "--model", str(model_folder), "--guess-cds", "9"]
    assert main([*words, "--output", str(tmp_path / "r.html")]) == 0
    assert "2 transcripts" in capsys.readouterr().out
    page = (tmp_path / "r.html").read_text()
    assert "adjusted: CDS guessed: the longest reading frame" in page
    assert main([*words, "--output", str(tmp_path / "none" / "r.html")]) == 2
    assert "none/r.html: got no folder" in capsys.readouterr().err
    fasta.write_text("")
    assert main([*words, "--output", str(tmp_path / "r.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
