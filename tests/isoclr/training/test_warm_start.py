"""Weights of a released model in a new one."""

import pytest
import torch

from data_builders.records import InputError
from isoclr.training.warm_start import warm_start
from modeling_isoclr import IsoCLRForPreTraining, IsoCLRModel
from toys import tiny


def model(seed, **overrides):
    torch.manual_seed(seed)
    return IsoCLRForPreTraining(tiny(**overrides))


@pytest.fixture
def released(tmp_path):
    source = model(0)
    source.save_pretrained(tmp_path / "released")
    return source, tmp_path / "released"


def test_all_weights_are_taken(released):
    source, folder = released
    started = model(1)
    assert not torch.equal(started.projector.linear1.weight, source.projector.linear1.weight)
    line = warm_start(started, folder)
    for name, tensor in source.state_dict().items():
        assert torch.equal(started.state_dict()[name], tensor), name
    assert line == f"init_from: {folder}: {len(source.state_dict())} tensors taken"


def test_what_an_encoder_alone_lacks_stays_new(tmp_path):
    torch.manual_seed(0)
    encoder = IsoCLRModel(tiny())
    encoder.save_pretrained(tmp_path)
    started, untouched = model(1, dropout=0.5), model(1)
    line = warm_start(started, tmp_path)
    assert torch.equal(started.isoclr.encoder.stem.weight, encoder.encoder.stem.weight)
    assert torch.equal(started.projector.linear1.weight, untouched.projector.linear1.weight)
    assert "new, such as projector." in line
    assert line.endswith("configurations differ: dropout 0.1 there, 0.5 here")


def test_what_does_not_fit_is_one_line(released, tmp_path):
    _, folder = released
    cases = [
        (model(1, filters=[8, 12, 12, 20]), folder, r"stages.3.*: got the shape .*, wanted \(20"),
        (model(1), tmp_path / "nowhere", "no such folder, wanted a model to start from"),
    ]
    config = (folder / "config.json").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(config.replace('"isoclr"', '"bert"'))
    cases.append((model(1), other, "got a model of type 'bert', wanted 'isoclr'"))
    (empty := tmp_path / "empty").mkdir()
    (empty / "config.json").write_text(config)
    cases.append((model(1), empty, "cannot be loaded: "))
    for started, source, message in cases:
        with pytest.raises(InputError, match=message) as error:
            warm_start(started, source)
        assert str(error.value).startswith("init_from: ") and "\n" not in str(error.value)
