"""The whole path on simulated genomes, by the commands that a user types."""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from data_builders.records import InputError
from data_builders.simulate.clade import STRENGTH
from data_builders.storage import LOCK, one_writer
from isoclr.shipped import DEFAULT_MODEL, shipped_model
from isoclr.training.curves import read_log

_MARK = ".isoclr-demo"
_LOAD = """
import torch
from transformers import AutoModel, AutoTokenizer
folder = {model!r}
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
batch = tokenizer(["ATGGCCTAA"], cds=[(0, 9)], exon_junctions=[[4]], return_tensors="pt")
with torch.inference_mode():
    print("embedding of one transcript:", tuple(model(**batch).pooler_output.shape))
"""


def run_demo(output: Path, commands=None, said=None) -> None:
    """Run the steps of a demo, and say what came out.

    Args:
        output: folder of everything it makes; what an earlier demo left there is replaced.
        commands: folder -> title and command of each step; None: `demo_commands`.
        said: folder and seconds -> the last words; None: `summary`.

    Raises:
        InputError: on a folder that no demo made or another one is writing, or when a step fails.
    """
    with one_writer(output, "a demo"):
        there = [path for path in output.iterdir() if path.name != LOCK]
        if there and output / _MARK not in there:
            raise InputError(f"{output}: not empty, and no demo made it; choose another --output")
        for path in there:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (output / _MARK).touch()
        began = time.perf_counter()
        for title, command in (commands or demo_commands)(output):
            _run(title, command)
        print((said or summary)(output, time.perf_counter() - began))


def steps(output: Path, *lines: tuple[str, str], **values) -> list[tuple[str, list[str]]]:
    """Return the title and the command of each step; its words get the folders that they name."""
    folders = {"output": output, "model": f"{output}/model", **values}
    return [
        (title, [word.format(**folders) for word in shlex.split(line)]) for title, line in lines
    ]


def score_table(path: Path, metric: str, width: int) -> str:
    """Return a metric of results in JSON, a line a predictor, whose name is padded to `width`."""
    scores = json.loads(path.read_text())["summary"]
    return "\n".join(
        f"    {name:<{width}} {score[metric][0]:.3f} ± {score[metric][1]:.3f}"
        for name, score in scores.items()
    )


def fresh_process(program: str) -> tuple[str, str]:
    """Return the step that runs a program with the model that was trained."""
    title = "The model in a fresh process, by transformers alone"
    return title, f"python -c {shlex.quote(program)}"


def demo_commands(output: Path) -> list[tuple[str, list[str]]]:
    """Each step's title and command."""
    genomes = [
        f"--genome {{genomes}}/{name}.fa.gz --annotation {{genomes}}/{name}.gtf.gz --species {name}"
        for name in ("alpha_simulata", "beta_simulata", "gamma_simulata")
    ]
    lines = [
        ("Three genomes, simulated", "isoclr simulate --output {genomes}"),
        (
            "Isoform groups",
            f"isoclr build {' '.join(genomes)} --homology {{genomes}}/homology.tsv "
            "--output {groups}",
        ),
        ("Contrastive pre-training", "isoclr train demo --data {groups} --output {model}"),
        fresh_process(_LOAD),
        (
            "Embeddings of every transcript",
            "isoclr embed --model {model} --groups {groups} --output {output}/embeddings.parquet",
        ),
        (
            "What the embeddings know of half-life",
            "isoclr probe --model {model} --labels {genomes}/half_life.tsv --label half_life "
            "--groups {groups} --output {output}/probe",
        ),
    ]
    if shipped_model().is_dir():
        title = "Embeddings of one genome's transcripts, by the shipped model"
        lines.append((title, f"isoclr embed {genomes[0]} --output {{output}}/shipped.parquet"))
    return steps(output, *lines, genomes=output / "genomes", groups=output / "groups")


def _run(title: str, command: list[str]) -> None:
    print(f"\n== {title}\n$ {shlex.join(command)}", flush=True)
    began = time.perf_counter()
    module = ["-m", "isoclr"] if command[0] == "isoclr" else []
    code = subprocess.run([sys.executable, *module, *command[1:]]).returncode
    if code:
        raise InputError(f"{title}: {command[0]} ended with status {code}")
    print(f"({time.perf_counter() - began:.0f} s)", flush=True)


def summary(output: Path, seconds: float) -> str:
    """What was made, where it lies, what the numbers say, what to type next."""
    dataset = json.loads((output / "groups" / "report.json").read_text())["dataset"]
    last = read_log(output / "model" / "log.jsonl")[-1]
    table = score_table(output / "probe" / "probe.json", "pearson", 31)
    shipped = f"{DEFAULT_MODEL} is not in this installation: nothing embedded by it"
    if shipped_model().is_dir():
        shipped = f"{output}/shipped.parquet     of one species, by {DEFAULT_MODEL}"
    return f"""
== Done in {seconds:.0f} s
  {output}/genomes             three simulated species: FASTA, GTF, homology, half-lives
  {output}/groups              {dataset["transcripts"]} transcripts in {dataset["groups"]} isoform groups; report.png
  {output}/model               the encoder, as a Hub folder; curves.png
  {output}/embeddings.parquet  an embedding of each transcript
  {output}/probe               probe.json, probe.png
  {shipped}

  After {last["step"]} steps the partner ranks first for {last["held_out_accuracy"]:.0%} of the {last["held_out_pairs"]} held-out pairs;
  their loss is {last["held_out_loss"]:.2f}, with shuffled partners {last["shuffled_loss"]:.2f}.

  Half-life from frozen features, Pearson r over held-out homology groups (mean ± 95 %):
{table}
  The labels follow from planted signals and noise; a perfect model would reach {STRENGTH}.
  A minute's training of a tiny encoder is not expected to beat hand-made features.

  With data of your own:
    isoclr build --genome GENOME.fa.gz --annotation ANNOTATION.gtf.gz --species NAME --output groups
    isoclr train demo --data groups --output model
    isoclr embed --model model --transcripts TRANSCRIPTS.fa --annotation ANNOTATION.gtf \\
      --output embeddings.parquet
"""  # noqa: E501  a screen of text
