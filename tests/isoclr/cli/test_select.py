"""The command that writes chosen transcripts of an annotation."""

import json

from data_builders.annotation.reader import read_annotation
from isoclr.cli import main


def test_the_command_says_what_it_chose(clade, tmp_path, capsys):
    annotation = clade.annotations[0]
    one, other = (m.transcript_id for m in read_annotation(annotation).transcripts[:2])
    ids, out = tmp_path / "ids.txt", tmp_path / "out.bed"
    ids.write_text(f"{one}\nnobody\n")
    words = ["select", str(annotation), "--output", str(out), "--ids", str(ids)]
    assert main([*words, "--transcript", other]) == 0
    assert f"{out}: 2 of " in capsys.readouterr().out
    assert {m.transcript_id for m in read_annotation(out).transcripts} == {one, other}
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["transcripts"], found["genes"], found["unknown"]) == (1, 1, ["nobody"])
    for wrong, message in {
        (): "wanted --ids, --transcript or --select",
        ("--column", "x", "--select", "mane"): "--column x: wanted --ids with it",
        ("--select", "mane"): "select mane: got no transcript with such a tag",
    }.items():
        assert main([*words[:4], *wrong]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith("isoclr select: ") and message in error
