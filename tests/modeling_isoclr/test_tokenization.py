import logging
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_isoclr import IsoCLRTokenizer, longest_orf
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, pad_tokens
from strategies import transcripts


@pytest.fixture
def tokenizer():
    return IsoCLRTokenizer()


def test_token_is_base_plus_codon_start_plus_exon_end(tokenizer):
    tokens = tokenizer.tokenize_transcript("GATGTAAC", cds=(1, 7), exon_junctions=[3])
    #                    G  A      T   G (exon end)...
    assert tokens.tolist() == [2, 0 + 8, 3 + 16, 2, 3 + 8, 0, 0, 1 + 16]
    assert tokens.dtype == np.uint8


def test_u_reads_as_t_and_lower_case_as_upper(tokenizer):
    assert tokenizer("acgunACGTN")["input_ids"] == [0, 1, 2, 3, 4] * 2


def test_one_exon_marks_its_end_and_unknown_structure_marks_nothing(tokenizer):
    assert tokenizer.tokenize_transcript("AC", exon_junctions=[]).tolist() == [0, 1 + 16]
    assert tokenizer.tokenize_transcript("AC", exon_junctions=None).tolist() == [0, 1]
    assert tokenizer.tokenize_transcript("AC", cds=(-1, -1)).tolist() == [0, 1]


def test_a_batch_is_padded_on_the_right(tokenizer):
    batch = tokenizer(
        ["ACG", "ACGTA"],
        cds=[(0, 3), None],
        exon_junctions=[None, [2, 4]],
        padding=True,
        pad_to_multiple_of=4,
        return_tensors="np",
    )
    assert batch["input_ids"].tolist() == [[8, 1, 2, 7, 7, 7, 7, 7], [0, 17, 2, 19, 16, 7, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1] * 3 + [0] * 5, [1] * 5 + [0] * 3]


def test_one_sequence_with_tensors_has_a_batch_of_one(tokenizer):
    assert tokenizer("ACG", return_tensors="pt")["input_ids"].shape == (1, 3)
    assert tokenizer("ACG")["input_ids"] == [0, 1, 2]


def test_decode_gives_the_letters_back(tokenizer):
    ids = tokenizer("ACGTN", cds=(0, 3), exon_junctions=[2])["input_ids"]
    assert tokenizer.decode(ids) == "ACGTN"
    assert tokenizer.decode([0, 5, 7, 3]) == "A<mask><pad>T"
    assert tokenizer.decode([0, 5, 7, 3], skip_special_tokens=True) == "AT"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "ACXG"}, "sequence 0: got letter 'X' at position 2"),
        ({"text": ""}, "sequence 0: got no letters"),
        ({"text": ["ACGT", "ACGé"]}, "sequence 1: got letter 'é' at position 3"),
        ({"text": "ACGT", "cds": (0, 4)}, r"sequence 0: got CDS \(0, 4\)"),
        ({"text": "ACGT", "cds": (3, 6)}, r"sequence 0: got CDS \(3, 6\)"),
        ({"text": "ACGT", "cds": (3, 0)}, r"sequence 0: got CDS \(3, 0\)"),
        ({"text": "ACGT", "exon_junctions": [2, 2]}, r"sequence 0: got exon junctions \[2, 2\]"),
        ({"text": "ACGT", "exon_junctions": [0]}, r"got exon junctions \[0\]"),
        ({"text": "ACGT", "exon_junctions": [4]}, r"got exon junctions \[4\]"),
        ({"text": ["ACGT"], "cds": [None, None]}, "cds: got 2 entries, wanted one a sequence, 1"),
        ({"text": "ACGT", "max_length": 3}, "sequence 0: got 4 nt, wanted at most max_length=3"),
    ],
)
def test_wrong_input_is_an_error_that_names_record_and_value(tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        tokenizer(**arguments)


NAN = float("nan")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": None}, "text: got None, wanted a sequence or a list of them"),
        ({"text": b"ACGT"}, "text: got b'ACGT'"),
        ({"text": NAN}, "text: got nan"),
        ({"text": {"sequence": "ACGT"}}, "text: got {'sequence': 'ACGT'}"),
        ({"text": ["ACGT", None]}, "sequence 1: got None, wanted letters in a string"),
        ({"text": ["ACGT", NAN]}, "sequence 1: got nan, wanted letters"),
        ({"text": ["ACGT", b"ACGT"]}, "sequence 1: got b'ACGT', wanted letters"),
        ({"text": [["ACGT"]]}, r"sequence 0: got \['ACGT'\], wanted letters"),
        ({"text": [None], "guess_cds": 9}, "sequence 0: got None, wanted letters"),
        # One CDS for a list, as many entries as sequences.
        ({"text": ["ACGATG"] * 2, "cds": (3, 6)}, "sequence 0: got CDS 3, wanted .start, end."),
        ({"text": ["ACGATG"] * 3, "cds": (3, 6)}, "cds: got 2 entries, wanted one a sequence, 3"),
        ({"text": ["ACGATG"], "cds": 3}, "cds: got 3, wanted a list"),
        ({"text": ["ACGATG"], "cds": "none"}, "cds: got 'none', wanted a list"),
        ({"text": "ACGATG", "cds": [(3, 6)]}, r"sequence 0: got CDS \[\(3, 6\)\], wanted"),
        ({"text": "ACGATG", "cds": (3.0, 6.0)}, r"got CDS \(3.0, 6.0\), wanted .* two integers"),
        ({"text": "ACGATG", "cds": (3, NAN)}, r"got CDS \(3, nan\), wanted .* two integers"),
        ({"text": "ACGATG", "cds": (None, 6)}, r"got CDS \(None, 6\)"),
        ({"text": "ACGATG", "cds": (False, 6)}, r"got CDS \(False, 6\)"),
        ({"text": "ACGATG", "cds": NAN}, "got CDS nan, wanted"),
        ({"text": "ACGATG", "cds": "36"}, "got CDS '36', wanted"),
        ({"text": "ACGATG", "cds": (-1, 6)}, r"got CDS \(-1, 6\), wanted 0 <= start"),
        ({"text": "ACGATG", "exon_junctions": 3}, "got exon junctions 3, wanted a list"),
        ({"text": "ACGATG", "exon_junctions": [2.5]}, r"got exon junctions \[2.5\], wanted a list"),
        ({"text": "ACGATG", "exon_junctions": [NAN]}, r"got exon junctions \[nan\], wanted a list"),
        ({"text": "ACGATG", "exon_junctions": [None]}, r"got exon junctions \[None\], wanted"),
        ({"text": "ACGATG", "exon_junctions": [True]}, r"got exon junctions \[True\], wanted"),
        ({"text": "ACGATG", "exon_junctions": "3"}, "got exon junctions '3', wanted a list"),
        ({"text": "ACGATG", "exon_junctions": [[3]]}, r"got exon junctions \[\[3\]\], wanted"),
        ({"text": "ACGATG", "exon_junctions": [[3], [2, 4]]}, "got exon junctions .*, wanted a"),
        ({"text": ["ACGATG"] * 2, "exon_junctions": [2, 4]}, "sequence 0: got exon junctions 2"),
        ({"text": "ACGT", "max_length": 0}, "max_length: got 0, wanted at least 1"),
        ({"text": "ACGT", "max_length": 2.0}, "max_length: got 2.0, wanted an integer"),
        ({"text": "ACGT", "max_length": NAN}, "max_length: got nan, wanted an integer"),
        ({"text": "ACGT", "max_length": True}, "max_length: got True, wanted an integer"),
        ({"text": "ACGT", "guess_cds": 0}, "guess_cds: got 0, wanted at least 1"),
        ({"text": "ACGT", "guess_cds": 9.5}, "guess_cds: got 9.5, wanted an integer"),
        ({"text": "ACGT", "padding": "longets"}, "padding: got 'longets', wanted one of"),
        ({"text": "ACGT", "padding": 1}, "padding: got 1, wanted one of"),
        ({"text": "ACGT", "padding": "max_length"}, "max_length: got none with padding='max_len"),
        ({"text": "ACGT", "padding": True, "pad_to_multiple_of": 0}, "pad_to_multiple_of: got 0"),
        ({"text": "ACGT", "padding_side": "middle"}, "padding_side: got 'middle', wanted one"),
        ({"text": "ACGT", "truncation": "left"}, "truncation: got 'left', wanted one of"),
        ({"text": "ACGT", "truncation_side": "5"}, "truncation_side: got '5', wanted one"),
        ({"text": "ACGT", "return_tensors": "tf"}, "return_tensors: got 'tf', wanted one of 'pt'"),
        ({"text": "ACGT", "text_pair": "ACGT"}, "text_pair: got 'ACGT', wanted one of None"),
        ({"text": "ACGT", "stride": 8}, "stride: got 8, wanted one of 0"),
        ({"text": "ACGT", "is_split_into_words": True}, "is_split_into_words: got True"),
        ({"text": "ACGT", "return_overflowing_tokens": True}, "return_overflowing_tokens: got"),
        ({"text": "ACGT", "return_offsets_mapping": True}, "return_offsets_mapping: got True"),
        ({"text": "ACGT", "return_length": "yes"}, "return_length: got 'yes'"),
    ],
)
def test_whatever_cannot_be_obeyed_is_refused_by_name_and_value(tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        tokenizer(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keyword", "advice"),
    [
        ("junctions", "did you mean 'exon_junctions'?"),
        ("CDS", "did you mean 'cds'?"),
        ("exon_junction", "did you mean 'exon_junctions'?"),
        ("max_len", "did you mean 'max_length'?"),
        ("return_tensor", "did you mean"),
        ("zzz", "unknown keyword 'zzz'"),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "encode", "encode_plus", "batch_encode_plus"])
def test_an_unknown_keyword_is_refused_with_the_nearest_known_one(
    tokenizer, method, keyword, advice
):
    text = ["ACGATG"] if method == "batch_encode_plus" else "ACGATG"
    with pytest.raises(TypeError, match=re.escape(advice)):
        getattr(tokenizer, method)(text, **{keyword: (3, 6)})


def test_every_way_to_tokenize_knows_cds_and_junctions(tokenizer):
    marks = {"cds": (3, 6), "exon_junctions": [2]}
    expected = [0, 17, 2, 8, 3, 18]
    assert tokenizer("ACGATG", **marks)["input_ids"] == expected
    assert tokenizer.encode("ACGATG", **marks) == expected
    assert tokenizer.encode("ACGATG", return_tensors="np", **marks).tolist() == [expected]
    assert tokenizer.encode_plus("ACGATG", **marks)["input_ids"] == expected
    names = tokenizer.tokenize("ACGATG", **marks)
    assert names == ["A", "C|", "G", "A^", "T", "G|"]
    assert tokenizer.convert_tokens_to_ids(names) == expected
    for method in ("encode", "tokenize"):
        with pytest.raises(ValueError, match="wanted (one sequence|letters)"):
            getattr(tokenizer, method)(["ACGATG"])
        with pytest.raises(ValueError, match="pair: got 'ACG'"):
            getattr(tokenizer, method)("ACGATG", "ACG")
    with pytest.raises(TypeError, match="junctions"):
        tokenizer.tokenize("ACGATG", junctions=[2])


def test_numpy_integers_arrays_and_columns_are_as_good_as_lists(tokenizer):
    frame = pl.DataFrame({"sequence": ["ACGATG", "ACG"], "cds": [[3, 6], None]})
    junctions = [np.array([2], dtype=np.uint16), np.array([], dtype=np.int64)]
    found = tokenizer(frame["sequence"], cds=frame["cds"], exon_junctions=junctions)
    assert found["input_ids"] == [[0, 17, 2, 8, 3, 18], [0, 1, 18]]
    cds = np.array([[3, 6], [-1, -1]])
    assert tokenizer(np.array(["ACGATG", "ACG"]), cds=cds)["input_ids"][0][3] == 8
    assert tokenizer([]) == {"input_ids": [], "attention_mask": []}


def test_what_is_returned_is_what_was_asked_for(tokenizer):
    found = tokenizer(
        ["ACG", "A<mask>"],
        padding=True,
        return_attention_mask=False,
        return_token_type_ids=True,
        return_special_tokens_mask=True,
        return_length=True,
        add_special_tokens=False,
    )
    assert dict(found) == {
        "input_ids": [[0, 1, 2], [0, 5, 7]],
        "token_type_ids": [[0, 0, 0], [0, 0, 0]],
        "special_tokens_mask": [[0, 0, 0], [0, 1, 1]],
        "length": [3, 2],
    }


def test_the_longest_length_and_the_sides_of_the_tokenizer_are_obeyed():
    tokenizer = IsoCLRTokenizer(model_max_length=4, truncation_side="left", padding_side="left")
    with pytest.raises(ValueError, match="sequence 0: got 6 nt, wanted at most max_length=4"):
        tokenizer("AACCGG")
    assert tokenizer("AACCGG", truncation=True)["input_ids"] == [1, 1, 2, 2]
    right = tokenizer("AACCGG", truncation=True, truncation_side="right")
    assert right["input_ids"] == [0, 0, 1, 1]
    assert tokenizer("AACCGG", truncation="only_first", max_length=2)["input_ids"] == [2, 2]
    batch = tokenizer(["ACG", "A"], padding="max_length")
    assert batch["input_ids"] == [[7, 0, 1, 2], [7, 7, 7, 0]]
    assert batch["attention_mask"] == [[0, 1, 1, 1], [0, 0, 0, 1]]
    assert tokenizer("A", padding="max_length", padding_side="right")["input_ids"] == [0, 7, 7, 7]
    assert tokenizer.pad({"input_ids": [[0]]}, "max_length")["input_ids"] == [[7, 7, 7, 0]]
    tokenizer.padding_side = "right"
    assert tokenizer(["ACG", "A"], padding=True)["input_ids"] == [[0, 1, 2], [0, 7, 7]]


def test_mask_is_one_position(tokenizer):
    tokens = tokenizer.tokenize_transcript("AC<mask>GATG<mask>", cds=(4, 7), exon_junctions=[3])
    assert tokens.tolist() == [0, 1, 5 + 16, 2, 8, 3, 2, 5 + 16]
    assert tokenizer.decode(tokens) == "AC<mask>GATG<mask>"
    assert tokenizer("<mask>")["input_ids"] == [5]
    with pytest.raises(ValueError, match="got letter '<' at position 4"):
        tokenizer("AC<mask>G<pad>")
    guessed = tokenizer("C<mask>ATGGCCTAA", guess_cds=9)["input_ids"]
    assert [i for i, token in enumerate(guessed) if token & 8] == [2, 5, 8]


def test_no_token_can_be_added_or_stand_for_another():
    tokenizer = IsoCLRTokenizer()
    for call in (
        lambda: tokenizer.add_tokens(["X"]),
        lambda: tokenizer.add_special_tokens({"additional_special_tokens": ["<s>"]}),
        lambda: IsoCLRTokenizer(additional_special_tokens=["<s>"]),
    ):
        with pytest.raises(ValueError, match="got the new token '(X|<s>)', wanted one of the 32"):
            call()
    for call in (
        lambda: tokenizer.add_special_tokens({"pad_token": "N"}),
        lambda: setattr(tokenizer, "pad_token", "N"),
        lambda: setattr(tokenizer, "pad_token_id", 4),
        lambda: IsoCLRTokenizer(pad_token="N"),
    ):
        with pytest.raises(ValueError, match="pad_token: got 'N', wanted '<pad>'"):
            call()
    with pytest.raises(ValueError, match="cls_token: got '<cls>', wanted none"):
        IsoCLRTokenizer(cls_token="<cls>")
    with pytest.raises(ValueError, match="eos_token: got 'A', wanted none"):
        tokenizer.eos_token = "A"
    assert tokenizer.add_tokens(["A"]) == 0
    assert tokenizer.add_special_tokens({"pad_token": "<pad>"}) == 0
    tokenizer.pad_token_id = 7
    assert (tokenizer.pad_token_id, tokenizer.vocab_size) == (7, 32)


def test_a_misspelt_option_of_the_tokenizer_is_refused(tmp_path):
    with pytest.raises(TypeError, match="'unknown_letter'; did you mean 'unknown_letters'"):
        IsoCLRTokenizer(unknown_letter="N")
    IsoCLRTokenizer().save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="'unknow_letters'; did you mean 'unknown_letters'"):
        IsoCLRTokenizer.from_pretrained(tmp_path, unknow_letters="N")


def test_tokens_outside_the_vocabulary_are_refused(tokenizer):
    with pytest.raises(ValueError, match="got tokens 0 to 32, wanted 0 to 31"):
        tokenizer.decode([0, 32])
    for tokens in ([1.5], [1.0, 2.0], "abc", None, [True]):
        with pytest.raises(ValueError, match="token_ids: got .*, wanted integers"):
            tokenizer.decode(tokens)
    with pytest.raises(ValueError, match="got tokens -1 to 2"):
        tokenizer.decode([-1, 2])
    with pytest.raises(ValueError, match="got the token 99"):
        tokenizer.convert_ids_to_tokens(99)
    with pytest.raises(ValueError, match="got the token 'B'"):
        tokenizer.convert_tokens_to_ids("B")


def test_other_letters_read_as_n_when_asked_for():
    tokenizer = IsoCLRTokenizer(unknown_letters="N")
    assert tokenizer("ARG")["input_ids"] == [0, 4, 2]
    assert tokenizer("AéG🧬T")["input_ids"] == [0, 4, 2, 4, 3]  # a letter is a position


@pytest.mark.parametrize(
    ("keep", "expected"), [("five_prime", "AACC"), ("three_prime", "ATTT"), ("cds_centre", "GATG")]
)
def test_a_crop_keeps_the_stated_end(tokenizer, keep, expected):
    encoding = tokenizer("AACCGATGGGATTT", cds=(5, 8), max_length=4, truncation=keep)
    assert tokenizer.decode(encoding["input_ids"]) == expected


def test_saves_and_loads(tokenizer, tmp_path):
    IsoCLRTokenizer(unknown_letters="N").save_pretrained(tmp_path)
    loaded = IsoCLRTokenizer.from_pretrained(tmp_path)
    assert loaded("ARG")["input_ids"] == [0, 4, 2]
    assert (loaded.pad_token_id, loaded.mask_token_id, len(loaded)) == (7, 5, 4)


def test_pads_for_stock_collators(tokenizer):
    batch = tokenizer.pad([tokenizer("ACG"), tokenizer("A")], return_tensors="np")
    assert batch["input_ids"].tolist() == [[0, 1, 2], [0, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_parts_stay_in_the_budget_and_hold_every_row_once():
    lengths = np.random.default_rng(0).integers(1, 3000, size=200)
    parts = cut_by_tokens(lengths, 8192)
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    for part in parts:
        rows = [np.zeros(lengths[i], dtype=np.uint8) for i in part]
        assert pad_tokens(rows).size <= 8192


def test_a_row_over_the_budget_is_a_part_of_its_own():
    parts = cut_by_tokens(np.array([100, 5000, 97]), 256)
    assert [part.tolist() for part in parts] == [[1], [0, 2]]


def test_rows_of_a_part_are_of_like_length():
    lengths = np.random.default_rng(1).lognormal(7.3, 0.8, size=2000).astype(int) + 1
    parts = cut_by_tokens(lengths, 65536)
    assert sum(map(len, parts)) == 2000
    for part in parts:
        padding = len(part) * lengths[part].max() - lengths[part].sum()
        assert padding <= max(0.04 * len(part) * lengths[part].max(), 2048)
    padded = {pad_tokens([np.zeros(n, dtype=np.uint8)]).shape[1] for n in range(1, 12289)}
    assert len(padded) < 200  # few shapes, for compilers and allocators


def orf_by_walking(sequence):
    """Every ATG to its stop, one codon at a time."""
    found = []
    for start in range(len(sequence) - 2):
        if sequence[start : start + 3] != "ATG":
            continue
        for i in range(start, len(sequence) - 2, 3):
            codon = sequence[i : i + 3]
            if "N" in codon:
                continue
            if codon in ("TAA", "TAG", "TGA"):
                found.append((start, i + 3))
                break
    return max(found, key=lambda orf: (orf[1] - orf[0], -orf[0]), default=None)


def test_the_longest_orf_is_the_one_found_by_walking():
    rng = np.random.default_rng(0)
    for length in [0, 2, 5, 6, 9] + [60] * 50 + [300] * 50:
        sequence = "".join(rng.choice(list("ACGTN"), length, p=[0.3, 0.1, 0.2, 0.35, 0.05]))
        assert longest_orf(sequence) == orf_by_walking(sequence)
    assert longest_orf("ccauggccuaacc") == (2, 11)


def test_a_cds_is_guessed_only_when_asked_and_says_so(tokenizer, caplog):
    sequences = ["CCATGGCCTAACC", "CCATGGCCTAACC", "CCCC"]
    plain = tokenizer(sequences, cds=[None, (-1, -1), None])
    assert not any(token & 8 for row in plain["input_ids"] for token in row)
    logging.getLogger("transformers").propagate = True
    guessed = tokenizer(sequences, cds=[None, (-1, -1), None], guess_cds=9)
    starts = [[i for i, token in enumerate(row) if token & 8] for row in guessed["input_ids"]]
    assert starts == [[2, 5, 8], [], []]
    assert "guessed the CDS of 1 of 3 sequences" in caplog.text
    assert tokenizer(sequences, guess_cds=12) == tokenizer(sequences)


def test_the_longest_orf_is_most_often_the_annotated_cds(real_data):
    table = pl.read_parquet(real_data / "transcripts" / "transcripts.parquet").filter(
        species="human", cds_source="annotated", biotype="protein_coding"
    )
    rows = table.sample(min(len(table), 1000), seed=0).select("sequence", "cds_start", "cds_end")
    hits = [longest_orf(sequence) == (start, end) for sequence, start, end in rows.rows()]
    assert np.mean(hits) > 0.9


@given(transcripts())
def test_tokens_have_all_of_a_transcript(transcript):
    sequence, cds, junctions = transcript
    tokenizer = IsoCLRTokenizer()
    ids = tokenizer(sequence, cds=cds, exon_junctions=junctions)["input_ids"]
    assert tokenizer.decode(ids) == sequence
    codons = [at for at, token in enumerate(ids) if token & 8]
    assert codons == ([] if cds is None else list(range(*cds, 3)))
    ends = [at + 1 for at, token in enumerate(ids) if token & 16]
    assert ends == ([] if junctions is None else [*junctions, len(sequence)])
    names = tokenizer.tokenize(sequence, cds=cds, exon_junctions=junctions)
    assert tokenizer.convert_tokens_to_ids(names) == ids
    assert tokenizer.convert_ids_to_tokens(ids) == names
    assert tokenizer.convert_tokens_to_string(names) == sequence


@given(st.lists(transcripts(), min_size=1, max_size=4), st.sampled_from(["left", "right"]))
def test_a_row_of_a_batch_has_the_tokens_of_its_transcript_alone(batch, side):
    tokenizer = IsoCLRTokenizer(padding_side=side)
    sequences, cds, junctions = map(list, zip(*batch, strict=True))
    found = tokenizer(
        sequences, cds=cds, exon_junctions=junctions, padding=True, return_tensors="np"
    )
    for row, mask, transcript in zip(*found.values(), batch, strict=True):
        alone = tokenizer(transcript[0], cds=transcript[1], exon_junctions=transcript[2])
        assert row[mask == 1].tolist() == alone["input_ids"]
        padded = len(row) - len(transcript[0])
        assert mask.tolist() == sorted(mask, reverse=side == "right") and sum(mask == 0) == padded
    assert tokenizer.batch_decode(found["input_ids"], skip_special_tokens=True) == sequences
