"""The model card: what the files of a model folder say, in the Hub's form."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import jinja2
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from markupsafe import Markup
from safetensors import SafetensorError, safe_open

from data_builders.records import InputError
from data_builders.storage import reason_of
from data_builders.text import read_json
from isoclr import __version__
from isoclr.hub.commands import COMMANDS, cpu_minutes, read_commands
from isoclr.hub.details import read_details
from isoclr.hub.markdown import environment
from isoclr.model_folder import HEAD_FILES, HEADS
from isoclr.objectives import DEFAULT, objective_class
from isoclr.statistics import plus_minus
from isoclr.training.curves import read_log
from isoclr.training.yaml_file import read_mapping

MEASURED = "measured.json"
_TEMPLATE = "card_template.md"
_BUFFERS = (".table", ".directions", ".offsets", ".centre", ".axes")
_BUFFERS += (".running_mean", ".running_var")
# Key in probe.json: identifier on the Hub, name; of numbers, of classes, of yes and no.
_METRICS = {
    "pearson": ("pearsonr", "Pearson r"),
    "spearman": ("spearmanr", "Spearman ρ"),
    "mse": ("mse", "mean squared error"),
    "auroc_macro": ("roc_auc", "macro AUROC"),
    "auroc_micro": ("roc_auc", "micro AUROC"),
    "auprc_macro": ("average_precision", "macro AUPRC"),
    "auprc_micro": ("average_precision", "micro AUPRC"),
    "balanced_accuracy": ("balanced_accuracy", "balanced accuracy"),
    "accuracy": ("accuracy", "accuracy"),
    "f1_macro": ("f1", "macro F1"),
    "auroc": ("roc_auc", "AUROC"),
    "auprc": ("average_precision", "AUPRC"),
    "mcc": ("matthews_correlation", "MCC"),
}
_DIGITS = 3  # as tables print; what another machine gives may differ in later ones
_PROBE = ("label", "task", "split", "rows", "groups", "seeds", "interval", "summary", "few_labels")
_HEAD = ("name", "predicts", "citation", "training", "held_out")
_MEASURED, _MEASURER = ("device", "torch", "unit", "rows"), "the file of isoclr card --measure"
_MODEL = "a model that train.py wrote"
# What a reader of JSON meets where a value is of another form than it looks for.
_WRONG_FORM = (TypeError, ValueError, LookupError, AttributeError, StopIteration, RecursionError)


def write_card(
    folder: str | os.PathLike,
    *,
    results: Sequence[str | os.PathLike] | None = None,
    datasets: Sequence[str] = (),
) -> Path:
    """Write README.md of a model folder, over the one that is there.

    It says what config.json, the weights' header, recipe.yaml, log.jsonl, the reports of the
    isoform groups (of the recipe's `data`, folders that are still there), `measured.json` (of
    `isoclr.hub.measure`) and the results say; what no file says is left out, but for what a person
    says in card.yaml (`isoclr.hub.details`) and in NOTES.md, which is taken in as it is. The model
    is called by the folder's name; `isoclr.hub.push` puts the repository into the examples.

    Args:
        folder: of config.json, model.safetensors and, from train.py, the rest.
        results: `probe.json` files that `isoclr probe` wrote about this model, each perhaps with
            its figures and a low_data.json beside it; None: those in `results/*/` of the folder.
        datasets: repositories on the Hub that it was trained on, beside those of card.yaml. The
            recipe cannot tell: what looks like `owner/name` there may be a folder that is gone.

    Returns:
        The path of the card.

    Raises:
        InputError: a file that is missing or not what it should be.
    """
    folder = Path(folder)
    check_model_folder(folder)
    try:
        text = _rendered(folder, results, datasets)
    except InputError:
        raise
    except (jinja2.TemplateError, *_WRONG_FORM) as error:
        raise InputError(
            f"{folder}: the configuration, the recipe, the log, a result or a report is not what "
            f"isoclr writes: {reason_of(error)[:200]}"
        ) from error
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def _rendered(
    folder: Path, results: Sequence[str | os.PathLike] | None, datasets: Sequence[str]
) -> str:
    """The card's text."""
    recipe = _read_recipe(folder / "recipe.yaml")
    log = read_log(folder / "log.jsonl")
    objective = recipe.get("objective", DEFAULT)
    facts = objective_class(objective).card_facts(folder, recipe, log)
    paths = sorted(folder.glob("results/*/probe.json")) if results is None else map(Path, results)
    probes = [_read_probe(path, folder) for path in paths]
    notes, measured = folder / "NOTES.md", folder / MEASURED
    made_by = folder / "results" / COMMANDS
    commands = read_commands(made_by) if made_by.exists() else {}
    details = read_details(folder)
    data = ModelCardData(
        language=facts.language,
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag=facts.pipeline_tag,
        tags=["isoclr", *facts.tags],
        datasets=sorted({*datasets, *details.datasets}) or None,
        model_name=folder.resolve().name if probes else None,
        eval_results=[r for probe in probes for r in _eval_results(probe)] or None,
    )
    templates = environment([Path(__file__).parent, *filter(None, [facts.template_folder])])
    templates.globals["interval"] = lambda found, sign="": plus_minus(found[0], found[1], sign)
    text = templates.get_template(facts.template or _TEMPLATE).render(
        card_data=Markup(data.to_yaml()),
        repository=folder.resolve().name,
        objective=objective,
        parameters=count_parameters(folder / "model.safetensors", facts.encoder_prefix),
        recipe=recipe,
        shown_recipe={key: recipe[key] for key in facts.recipe_keys if key in recipe},
        architecture=facts.architecture,
        embedding=facts.embedding,
        width=facts.width,
        longest=facts.longest,
        citation=Markup(facts.citation) if facts.citation else None,
        cited=facts.cited,
        details=details,
        version=__version__,
        measured=read_json(measured, _MEASURED, _MEASURER) if measured.exists() else None,
        last=log[-1] if log else None,
        curves=(folder / "curves.png").exists(),
        probes=probes,
        commands=commands,
        cpu_minutes=cpu_minutes(commands.values()),
        not_made=list(dict.fromkeys(row for how in commands.values() for row in how.not_made)),
        heads=[_read_head(path) for path in sorted(folder.glob(f"{HEADS}/*/{HEAD_FILES[0]}"))],
        metrics=_METRICS,
        notes=Markup(notes.read_text("utf-8").strip()) if notes.exists() else None,
        **facts.variables,
    )
    return str(ModelCard(text)).rstrip() + "\n"


def check_model_folder(folder: Path) -> None:
    """Refuse what lacks the two files that every model folder has."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, wanted {_MODEL}")
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no {name} in it, wanted {_MODEL}")


def count_parameters(weights: Path, encoder_prefix: str = "isoclr.") -> dict[str, int]:
    """Count parameters of the `encoder` and of the `heads` in the header of a weights file."""
    try:
        with safe_open(weights, "numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    except SafetensorError as error:
        raise InputError(f"{weights}: {error}, wanted weights in safetensors form") from error
    sizes = {n: math.prod(shape) for n, shape in shapes.items() if not n.endswith(_BUFFERS)}
    inside = {name: size for name, size in sizes.items() if name.startswith(encoder_prefix)}
    encoder = sum((inside or sizes).values())  # saved without a head, names have no prefix
    return {"encoder": encoder, "heads": sum(sizes.values()) - encoder}


def _read_recipe(path: Path) -> dict:
    """Read the keys and values as they were written; none where there is no recipe."""
    return read_mapping(path, "recipe") if path.exists() else {}


def _read_probe(path: Path, folder: Path) -> dict:
    """A probe, with what lies beside it: figures, what few labels gave, and a low-data curve."""
    what = "the probe.json of isoclr probe"
    probe = read_json(path, _PROBE, what)
    curve = path.with_name("low_data.json")
    figures = [path.with_name(f"{name}.png") for name in ("probe", "few_labels", "low_data")]
    inside = folder.resolve() in path.resolve().parents
    return probe | {
        # Of one label there may be several sets: the folder says which.
        "name": path.parent.name if inside else probe["label"],
        "curve": _read_curve(curve) if curve.exists() else {},
        "figures": [f.relative_to(folder).as_posix() for f in figures if inside and f.exists()],
    }


def _read_head(path: Path) -> dict:
    """What a head predicts and how well; "score" is its first metric."""
    head = read_json(path, _HEAD, "the head.json of isoclr head")
    figure = path.with_name(HEAD_FILES[-1])
    return head | {
        "score": next(iter(head["held_out"])),
        "figures": [figure.relative_to(path.parents[2]).as_posix()] if figure.exists() else [],
    }


def _read_curve(path: Path) -> dict[str, dict[int, tuple[float, float]]]:
    """Method -> labels -> mean of the first metric and half its interval, of several seeds."""
    keys = ("summary", "train_rows", "few_labels")
    found = read_json(path, keys, "the low_data.json of isoclr low-data")
    curve: dict[str, dict[int, tuple[float, float]]] = {}
    for point in (*found["few_labels"], found):
        for method, scores in point["summary"].items():
            mean, half_width = next(iter(scores.values()))
            if half_width is not None:
                curve.setdefault(method, {})[point["train_rows"]] = (mean, half_width)
    return curve


def _eval_results(probe: dict) -> list[EvalResult]:
    """Means of the first feature set, which is the model, over the splits."""
    scores = next(iter(probe["summary"].values()))
    classes = probe["task"] != "regression"
    return [
        EvalResult(
            task_type="tabular-classification" if classes else "tabular-regression",
            task_name="linear probe of frozen embeddings",
            dataset_type=probe["name"],
            dataset_name=probe["name"],
            dataset_config=f"{probe['split']} split",
            metric_type=identifier,
            metric_name=f"{name}, mean of {len(probe['seeds'])} splits",
            metric_value=round(scores[key][0], _DIGITS),
        )
        for key, (identifier, name) in _METRICS.items()
        if key in scores
    ]
