"""Batches are a function of seed and step; runs go on to the same bits; recipes parse."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from global_draws import none_drawn
from scipy import sparse
from transformers import AutoModel, AutoProcessor

import train
from data_builders.expression.matrix import ExpressionMatrix, concatenate, read_parts, write_matrix
from data_builders.expression.prepare import ReadOptions, prepare_expression, read_obs
from data_builders.records import InputError
from data_builders.simulate.expression import simulate_expression, write_simulated
from isoclr.objectives import read_recipe
from isoclr.objectives.expression.batches import ExpressionBatches, gene_modules, held_out_samples
from isoclr.objectives.expression.objective import (
    ExpressionLoss,
    ExpressionObjective,
    effective_rank,
)
from isoclr.objectives.expression.recipe import ExpressionRecipe
from isoclr.objectives.expression.rows import DenseRows, SparseRows
from isoclr.training.curves import read_log
from modeling_isoclr.configuration_expression import METHODS

RECIPES = sorted((Path(__file__).parents[4] / "recipes" / "expression").glob("*.yaml"))
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(autouse=True)
def fresh_state():
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Simulated samples, as prepare writes them."""
    folder = tmp_path_factory.mktemp("expression")
    path, table = write_simulated(simulate_expression(45, 30, tissues=3), folder / "a.tsv")
    options = ReadOptions(obs=read_obs(table))
    prepare_expression([path], folder / "expression.parquet", options)
    return str(folder / "expression.parquet")


def toy(data, output="model", **keys):
    keys = {"steps": 6, "batch_size": 8, "tracker": None, "learning_rate": 0.01} | keys
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "head_sizes": [8, 4]}
    return ExpressionRecipe(data=data, output=str(output), model=shape, **keys)


def batches_of(recipe, rank=0, world_size=1, modules=None):
    z = np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)
    return ExpressionBatches(
        z,
        recipe,
        dropout_shape=(2, 8),
        dropout=0.2,
        modules=modules,
        rank=rank,
        world_size=world_size,
    )


def tensors(batch):
    return {name: value for name, value in vars(batch).items() if torch.is_tensor(value)}


@every_method
def test_a_batch_is_a_function_of_seed_and_step(method):
    recipe = toy("none", method=method, seed=3)
    one, other = batches_of(recipe), batches_of(recipe)
    other[7], other[2]  # another order of asking
    found, again = tensors(one[5]), tensors(other[5])
    assert found.keys() == again.keys()
    assert all(torch.equal(found[name], again[name]) for name in found)
    assert not torch.equal(one[5].first, one[6].first) or method == "scarf"
    changed = batches_of(toy("none", method=method, seed=4))[5]
    assert not torch.equal(found["clean"], changed.clean)


@every_method
@pytest.mark.parametrize("world_size", [2, 3])
def test_the_parts_of_processes_make_the_whole_batch(method, world_size):
    recipe = toy("none", method=method)
    whole = batches_of(recipe)[4]
    parts = [batches_of(recipe, rank, world_size)[4] for rank in range(world_size)]
    for name, value in tensors(whole).items():
        rows = 2 if name == "keep" else 0
        joined = torch.cat([getattr(part, name) for part in parts], rows)
        assert torch.equal(joined, value), name
    assert [len(part.first) for part in parts] == parts[0].rows_of_rank
    assert all(part.sizes == whole.sizes for part in parts)


def test_an_epoch_has_every_sample_once():
    batches = batches_of(toy("none"))
    assert batches.order.steps_per_epoch == 3  # 20 samples, batches of 8 at most
    for epoch in range(2):
        rows = np.concatenate([batches.rows(3 * epoch + step) for step in range(3)])
        assert sorted(rows) == list(range(20))


def test_views_of_the_methods():
    batch = batches_of(toy("none", method="scarf"))[0]
    assert torch.equal(batch.first, batch.clean)
    batch = batches_of(toy("none", method="vime"))[0]
    assert batch.second is None
    assert torch.equal(batch.first[~batch.mask], batch.clean[~batch.mask])
    assert 0.1 < batch.mask.float().mean() < 0.5
    modules = np.repeat(np.arange(4), 3)
    batch = batches_of(toy("none", method="halves"), modules=modules)[0]
    assert torch.equal(batch.first + batch.second, batch.clean)
    assert (batch.mask.view(-1, 4, 3).float().mean(2) % 1 == 0).all()
    assert (batch.mask.sum(1) == 6).all()


def test_marginal_replacements_are_values_of_the_gene():
    batches = batches_of(toy("none", method="denoising", replacement="marginal"))
    batch = batches[0]
    for row, column in batch.mask.nonzero().tolist():
        assert batch.first[row, column].item() in batches.z.z[:, column]


def test_held_out_samples_are_whole_groups():
    groups = np.repeat([f"d{i}" for i in range(20)], 3)
    held_out = held_out_samples(groups, 0.2, seed=1)
    assert 0 < held_out.sum() <= 12
    assert not set(groups[held_out]) & set(groups[~held_out])
    assert np.array_equal(held_out, held_out_samples(groups, 0.2, seed=1))
    assert not held_out_samples(groups, 0.0, seed=1).any()


def test_modules_find_genes_that_go_together():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(50, 3))
    which = np.tile([0, 1, 2], 5)
    found = gene_modules((factors[:, which] + 0.1 * rng.normal(size=(50, 15))), 3, seed=0)
    assert len({(a, b) for a, b in zip(which, found, strict=True)}) == 3


def test_effective_rank_by_hand():
    assert effective_rank(torch.ones(5, 3)) == 0
    line = torch.linspace(-1, 1, 6)[:, None] * torch.tensor([[1.0, 2, 3]])
    assert effective_rank(line) == pytest.approx(1)
    square = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert effective_rank(square) == pytest.approx(2)


@every_method
def test_every_method_learns_and_its_folder_loads(data, tmp_path, method, capsys):
    recipe = toy(data, tmp_path / "model", method=method, steps=30, evaluate_every=30)
    recipe.save(tmp_path / "recipe.yaml")
    train.main([str(tmp_path / "recipe.yaml"), "--group_column", "donor"])
    assert "45 samples × 30 genes, written as log2(x + 1)" in capsys.readouterr().err
    log = read_log(tmp_path / "model" / "log.jsonl")
    assert np.mean([r["loss"] for r in log[-5:]]) < np.mean([r["loss"] for r in log[:5]])
    assert log[-1]["effective_rank"] > 1 and np.isfinite(log[-1]["held_out_loss"])
    assert ("uniformity" in log[-1]) == (method in ("scarf", "byol", "halves"))
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    model = AutoModel.from_pretrained(tmp_path / "model").eval()
    inputs = processor(np.ones((2, 30)), processor.genes, return_tensors="pt")
    assert model(**inputs).pooler_output.shape == (2, 8)
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"pre-trained without labels by `{method}`" in card


def test_byol_goes_on_to_the_same_bits(data, tmp_path):
    keys = {"method": "byol", "checkpoint_every": 1, "keep_checkpoints": 9, "evaluate_every": 3}
    recipe = toy(data, tmp_path / "whole", **keys)
    recipe.save(tmp_path / "recipe.yaml")
    train.main([str(tmp_path / "recipe.yaml")])
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    for step in (4, 5, 6):
        shutil.rmtree(tmp_path / "half" / "checkpoints" / f"step-{step:08d}")
    train.main([str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "half")])
    for name in ("model.safetensors", "log.jsonl"):
        whole, half = (tmp_path / run / name for run in ("whole", "half"))
        assert whole.read_bytes() == half.read_bytes()


@every_method
def test_an_evaluation_draws_nothing(data, method):
    objective = ExpressionObjective(toy(data, method=method, held_out_fraction=0.2), 0, 1)
    model = objective.build_model()
    with none_drawn():
        scores = objective.evaluate(model.train())
    assert scores["effective_rank"] > 0 and model.training


@every_method
def test_the_loss_knows_no_held_out_sample_and_no_statistics_of_them(data, method):
    recipe = toy(data, method=method, held_out_fraction=0.2)
    objective = ExpressionObjective(recipe, 0, 1)
    held_out = len(objective.data.held_out)
    assert 0 < held_out <= 9
    assert len(objective.batches.z) == 45 - held_out
    assert np.abs(objective.data.train.z.mean(0)).max() < 0.2  # z-scores of training
    torch.manual_seed(0)
    model = objective.build_model().double()
    batch = objective.batches[0]
    for name, value in tensors(batch).items():
        if value.is_floating_point():
            setattr(batch, name, value.double())
    loss, record = ExpressionLoss(model)(batch)
    loss.backward()
    assert record["loss"] == pytest.approx(loss.item())
    assert any(p.grad is not None and p.grad.any() for p in model.expression.parameters())
    target = getattr(model, "target", torch.nn.Module())
    assert all(p.grad is None for p in target.parameters())


@pytest.fixture(scope="module")
def both_forms(data, tmp_path_factory):
    """The same matrix as dense and as sparse files, with zeros in it."""
    (part,) = read_parts(data)
    values = np.where(part.values > np.median(part.values), part.values, 0)
    paths = {}
    for kind in (np.asarray, sparse.csr_array):
        path = tmp_path_factory.mktemp("forms") / f"{kind.__name__}.parquet"
        matrix = ExpressionMatrix(**vars(part) | {"values": kind(values)})
        write_matrix([matrix.select(np.arange(30)), matrix.select(np.arange(30, 45))], path)
        paths[kind.__name__] = str(path)
    return paths["asarray"], paths["csr_array"]


@pytest.mark.parametrize("replacement", ["uniform", "marginal"])
def test_a_sparse_matrix_is_read_in_parts_and_trains_as_a_dense_one(both_forms, replacement):
    keys = {"n_genes": 20, "replacement": replacement, "group_column": "donor"}
    dense, thin = (ExpressionObjective(toy(path, **keys), 0, 1) for path in both_forms)
    assert isinstance(thin.data.train, SparseRows) and isinstance(dense.data.train, DenseRows)
    assert thin.processor.genes == dense.processor.genes and len(thin.processor.genes) == 20
    for name in ("mean", "scale", "low", "high"):
        one, other = (getattr(each.processor, name) for each in (dense, thin))
        assert np.allclose(one, other, atol=1e-4), name
    assert thin.data.samples == dense.data.samples
    part = concatenate(list(read_parts(Path(both_forms[0]))))
    columns = [part.genes.index(gene) for gene in thin.processor.genes]
    train = [part.samples.index(name) for name in thin.data.samples]
    held_out = np.setdiff1d(np.arange(len(part.samples)), train)
    for side, rows in ((thin.data.train, train), (thin.data.held_out, held_out)):
        assert np.array_equal(side.values.toarray(), part.values[np.ix_(rows, columns)])
        assert side.values.nnz == side.values.data.size  # no more was allocated than is stored
    assert thin.describe(3) == dense.describe(3)
    for name, value in tensors(dense.batches[2]).items():
        found = getattr(thin.batches[2], name)
        assert torch.allclose(found.float(), value.float(), atol=1e-3), name
    models = [objective.build_model() for objective in (dense, thin)]
    models[1].load_state_dict(models[0].state_dict())
    losses = [o.evaluate(m) for o, m in zip((dense, thin), models, strict=True)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    halves = toy(both_forms[1], method="halves", gene_modules=4)
    assert ExpressionObjective(halves, 0, 1).batches.modules.max() == 3


def test_a_sparse_matrix_without_a_gene_that_varies(tmp_path):
    matrix = ExpressionMatrix(
        values=sparse.csr_array(np.ones((9, 3), np.float32)),
        samples=tuple("abcdefghi"),
        genes=("x", "y", "z"),
        unit="log2",
    )
    write_matrix([matrix], tmp_path / "a.parquet")
    with pytest.raises(InputError, match="a.parquet: values: got no gene that varies"):
        ExpressionObjective(toy(str(tmp_path / "a.parquet")), 0, 1)


def test_a_collapse_is_said(data, capsys):
    objective = ExpressionObjective(toy(data), 0, 1)
    model = objective.build_model()
    with torch.no_grad():
        model.expression.layers[-1].norm.weight.zero_()
    capsys.readouterr()
    assert objective.evaluate(model)["effective_rank"] == 0
    assert capsys.readouterr().err == ("the embeddings have collapsed: effective rank 0.00 of 8\n")


def test_data_without_a_gene_that_varies(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("gene\t" + "\t".join(f"s{i}" for i in range(9)) + "\n" + "ACTB" + "\t5" * 9)
    with pytest.raises(InputError, match="a.tsv: values: got no gene that varies"):
        ExpressionObjective(toy(str(path)), 0, 1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_papers_recipes_parse_and_run_at_toy_size(path, data, tmp_path):
    recipe = read_recipe(path)
    assert recipe.method == path.stem.removesuffix("-small") and recipe.corruption == 0.3
    assert recipe.encoder_config(100).hidden_size == 256
    words = ["--data", data, "--output", str(tmp_path / "m"), "--steps", "3", "--tracker", "null"]
    words += ["--model.hidden_size", "8", "--model.head_sizes", "[8, 4]", "--batch_size", "8"]
    train.main([str(path), *words])
    assert [r["step"] for r in read_log(tmp_path / "m" / "log.jsonl")] == [1, 2, 3]


def test_unknown_keys_of_the_model_are_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="model.hiden_size: unknown key; did you mean hidden_size"):
        ExpressionRecipe(data="x", output="y", steps=1, model={"hiden_size": 3})
