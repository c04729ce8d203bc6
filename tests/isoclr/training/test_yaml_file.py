"""YAML that surprises, explodes or is none ends in one line."""

import pytest

from data_builders.records import InputError
from isoclr.training.yaml_file import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-2E+3", -2000.0),
        ("1.5e3", 1500.0),
        ("e5", "e5"),
        ("1e", "1e"),
        ("2026-11-27", "2026-11-27"),
        ("[1, .5, true, null, x]", [1, 0.5, True, None, "x"]),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &x {k: 1}\nb: {<<: *x, k: 2}", {"a": {"k": 1}, "b": {"k": 2}}),
        ("", None),
    ],
)
def test_values_are_what_people_mean(text, value):
    got = parse_yaml(text, "x")
    assert got == value and type(got) is type(value)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "line 2: got the alias *a within an anchored value"),
        ("a: &a 1\nb: [" + "*a, " * 101 + "]", "more than 100 of them"),
        ("a: &a [*a]", "within an anchored value"),
        ("a: 1\nb: 2\na: 3", "line 3: got the key a twice"),
        ("a: {b: 1, b: 2}", "line 1: got the key b twice"),
        ("? [1]\n: 2", "got a list or a mapping for a key"),
        ("!!binary aGk=", "got the type tag:yaml.org,2002:binary"),
        ("!!timestamp 2020-01-01", "got the type tag:yaml.org,2002:timestamp"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("!!set {a}", "got the type tag:yaml.org,2002:set"),
        ("[" * 5000, "not YAML"),
        ("{a: " * 3000, "not YAML"),
        ("9" * 5000, "not YAML"),
        ("a: b: c", "not YAML"),
        ("a\0b", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("%YAML 9", "not YAML"),
        ("\t- a", "not YAML"),
    ],
)
def test_what_is_no_such_yaml_is_one_line(text, message):
    with pytest.raises(InputError) as error:
        parse_yaml(text, "somewhere")
    assert str(error.value).startswith("somewhere: not YAML: ") and message in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_files_that_cannot_be_read_are_one_line(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml: no such recipe"):
        read_yaml(tmp_path / "nowhere.yaml", "recipe")
    with pytest.raises(InputError, match="got 'Is a directory', wanted a recipe"):
        read_yaml(tmp_path, "recipe")
    (tmp_path / "latin").write_bytes(b"a: \xe9")
    with pytest.raises(InputError, match="latin: byte 3: got no UTF-8, wanted a recipe"):
        read_yaml(tmp_path / "latin", "recipe")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\na: 1")
    with pytest.raises(InputError, match="large: got more than 1,048,576 bytes"):
        read_yaml(tmp_path / "large", "recipe")
