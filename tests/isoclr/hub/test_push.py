"""A model folder goes to the Hub and comes back, the same to the bit."""

import os
import re
import shutil
import socket

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from isoclr.cli import main
from isoclr.hub.card import write_card
from loopback_hub import run_client
from modeling_isoclr import IsoCLRForPreTraining, IsoCLRTokenizer

PUSH = "import sys; from isoclr.cli import main; sys.exit(main(['push', *sys.argv[1:]]))"
# None of our packages can be imported after this.
ALONE = "import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)\n"
LOAD = """
import sys, torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForPreTraining, AutoTokenizer
repo, out = sys.argv[1:]
load = {"trust_remote_code": True}
tokenizer = AutoTokenizer.from_pretrained(repo, **load)
model = AutoModel.from_pretrained(repo, **load).eval()
whole = AutoModelForPreTraining.from_pretrained(repo, **load).eval()
batch = tokenizer(["ACGUACGTNN", "ATGGCCTAA"], cds=[None, (0, 9)], exon_junctions=[[3], [4]],
                  padding=True, return_tensors="pt")
with torch.inference_mode():
    pooled, projected = model(**batch).pooler_output, whole(**batch, return_loss=False).projections
save_file({"pooled": pooled, "projected": projected}, out)
"""
SHARED = {
    "README.md",
    "config.json",
    "configuration_isoclr.py",
    "curves.png",
    "log.jsonl",
    "losses_isoclr.py",
    "model.safetensors",
    "modeling_isoclr.py",
    "packing_isoclr.py",
    "pooling_isoclr.py",
    "segments_isoclr.py",
    "recipe.yaml",
    "tokenization_isoclr.py",
    "tokenizer_config.json",
}
# What lies in a folder and is nobody's business.
PRIVATE = ("notes.txt", ".env", "secrets.py", "upload_me.py", "results/mine/secrets.json")
PRIVATE += ("results/mine/probe.txt", "results/secrets.json", "checkpoints/step-00000001/a.json")
PRIVATE += ("logs/events.json", "tokens.json", "model.safetensors.index.json")


@pytest.fixture(scope="module")
def folder(model_folder, probe_file, tmp_path_factory):
    """A model folder with its card, and with what must not be shared."""
    folder = tmp_path_factory.mktemp("shared") / "model"
    shutil.copytree(model_folder, folder)
    write_card(folder, results=[probe_file])
    for name in PRIVATE:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("private")
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe |= {"data": ["/home/me/groups", "owner/name"], "output": "runs/me/secret"}
    recipe |= {"token_cache": "caches/mine", "probe": {"labels": "~/labels.tsv"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(scope="module")
def pushed(hub, folder):
    """The repository of the folder."""
    done = run_client(hub, PUSH, folder, "tester/toy")
    assert done.stdout == f"{hub.url}/tester/toy\n"
    return hub.repositories["model", "tester/toy"]


def expected(folder):
    """What LOAD computes, by our own classes."""
    batch = IsoCLRTokenizer()(
        ["ACGUACGTNN", "ATGGCCTAA"],
        cds=[None, (0, 9)],
        exon_junctions=[[3], [4]],
        padding=True,
        return_tensors="pt",
    )
    model = IsoCLRForPreTraining.from_pretrained(folder).eval()
    with torch.inference_mode():
        output = model(**batch, return_loss=False)
    return {"pooled": output.pooler_output, "projected": output.projections}


def assert_equal_bits(path, tensors):
    found = load_file(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.slow
def test_one_commit_holds_the_model_and_nothing_else(pushed, folder):
    assert [commit.title for commit in pushed.commits] == ["initial commit", "Upload IsoCLR model"]
    files = pushed.at("main").files
    code = {path.name for path in folder.glob("*_isoclr.py")}
    assert files.keys() == {".gitattributes"} | SHARED | code
    assert files["model.safetensors"].lfs
    for name in files.keys() - {".gitattributes", "README.md", "recipe.yaml"}:
        assert files[name].data == (folder / name).read_bytes()
    assert not pushed.private


@pytest.mark.slow
def test_the_recipe_names_no_place_of_this_machine(pushed, folder):
    text = pushed.at("main").files["recipe.yaml"].data
    recipe, written = yaml.safe_load(text), yaml.safe_load((folder / "recipe.yaml").read_text())
    assert b"/home" not in text and b"~" not in text
    local = {
        "data": ["groups", "owner/name"],
        "output": "secret",
        "token_cache": "mine",
        "probe": {"labels": "labels.tsv"},
    }
    assert recipe == written | local
    assert recipe != written


@pytest.mark.slow
def test_a_push_may_go_to_a_branch_or_be_a_pull_request(hub, pushed, folder, tmp_path):
    code = """
import sys
from isoclr.hub.push import push
folder, repo = sys.argv[1:]
print(push(folder, repo, revision="v2"))
print(push(folder, repo, revision="v2"))
with open(f"{folder}/log.jsonl", "a") as log:
    log.write('{"step": 9}\\n')
print(push(folder, repo, create_pr=True))
"""
    before = len(pushed.commits)
    done = run_client(hub, code, shutil.copytree(folder, tmp_path / "model"), pushed.name)
    url = f"{hub.url}/{pushed.name}"
    assert done.stdout.split() == [url, url, f"{url}/discussions/2"]
    assert len(pushed.commits) == before and pushed.branches.keys() == {"v2", "refs/pr/2"}
    assert [commit.title for commit in pushed.branches["refs/pr/2"]][-1] == "Upload IsoCLR model"
    assert pushed.at("v2").files.keys() == pushed.at("main").files.keys()


@pytest.mark.slow
def test_a_hub_that_never_answers_is_one_line(hub, folder):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code = "import isoclr.repositories as r; r.TIMEOUT = 0.5\n" + PUSH
        done = run_client(hub, code, folder, "tester/toy", check=False, HF_ENDPOINT=url)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"isoclr push: tester/toy: cannot reach the Hub at {url}: ")
    assert "timed out" in line


@pytest.mark.slow
def test_it_loads_by_transformers_alone_and_again_offline(hub, pushed, folder, tmp_path):
    online, offline = tmp_path / "online.safetensors", tmp_path / "offline.safetensors"
    run_client(hub, ALONE + LOAD, pushed.name, online)
    assert_equal_bits(online, expected(folder))
    before = len(hub.requests)
    run_client(hub, ALONE + LOAD, pushed.name, offline, HF_HUB_OFFLINE="1")
    assert_equal_bits(offline, expected(folder))
    assert len(hub.requests) == before


@pytest.mark.slow
def test_a_snapshot_is_the_folder(hub, pushed, tmp_path):
    code = "import sys; from huggingface_hub import snapshot_download\n"
    code += "print(snapshot_download(sys.argv[1], local_dir=sys.argv[2]))"
    run_client(hub, code, pushed.name, tmp_path)
    for name, file in pushed.at("main").files.items():
        assert (tmp_path / name).read_bytes() == file.data


@pytest.mark.slow
def test_the_card_names_its_repository_and_its_code_runs(hub, pushed, folder, tmp_path):
    card = pushed.at("main").files["README.md"].data.decode()
    written = (folder / "README.md").read_text()
    quoted = f'"{folder.name}"'
    assert written.count(quoted) == 4  # tokenizer, model, head and pipeline
    assert card == written.replace(quoted, f'"{pushed.name}"')
    data = ModelCard(card).data
    assert data.model_name == folder.name
    assert [result.metric_type for result in data.eval_results] == ["pearsonr", "spearmanr", "mse"]
    code = "\n".join(re.findall("^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE))
    shown = "print(tuple(embeddings.shape), vectors.shape, loss.isfinite().item())"
    done = run_client(hub, ALONE + code + shown)
    assert done.stdout == "(2, 10) (2, 10) True\n"


@pytest.mark.slow
def test_a_second_push_is_a_second_commit_of_what_changed(hub, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    push_twice = """
import pathlib, sys
from isoclr.hub.push import push
folder = pathlib.Path(sys.argv[1])
push(folder, "again")
push(folder, "again")
(folder / "README.md").write_text("---\\nlicense: apache-2.0\\n---\\nWritten by hand, é.\\n")
push(folder, "again")
(folder / "README.md").unlink()
(folder / "log.jsonl").write_text('{"step": 1}\\n')
push(folder, "again")
"""
    run_client(hub, push_twice, folder)
    repository = hub.repositories["model", "tester/again"]
    _, first, second, third = repository.commits
    changed = [
        {path for path in new.files if new.files[path] != old.files.get(path)}
        for old, new in ((first, second), (second, third))
    ]
    assert changed == [{"README.md"}, {"log.jsonl"}]
    assert first.files["README.md"].data.startswith(
        b"---\nlanguage: rna\nlibrary_name: transformers\n"
    )
    # By hand it was written, and so it stays, though the folder has none any more.
    assert third.files["README.md"].data.decode().endswith("\nWritten by hand, é.\n")
    assert not (folder / "README.md").exists()


@pytest.mark.slow
def test_a_folder_without_code_is_pushed_with_the_package_s(hub, pushed, folder, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.py"))
    run_client(hub, PUSH, bare, "tester/bare")
    found, expected = (hub.repositories["model", f"tester/{n}"] for n in ("bare", "toy"))
    assert found.at("main").files.keys() == expected.at("main").files.keys() | {"handler.py"}


@pytest.mark.slow
def test_private_is_private(hub, pushed, folder):
    commits = len(pushed.commits)
    code = """
import sys
from isoclr.cli import main
folder, new, public = sys.argv[1:]
assert main(["push", folder, new, "--private"]) == 0
sys.exit(main(["push", folder, public, "--private"]))
"""
    done = run_client(hub, code, folder, "tester/secret", pushed.name, check=False)
    assert hub.repositories["model", "tester/secret"].private
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"isoclr push: {pushed.name}: is public on {hub.url}, wanted a private repository\n"
    )
    assert len(pushed.commits) == commits


def linked(path):
    """A file of the same content, by a link."""
    elsewhere = path.parent.parent / "elsewhere"
    if not path.exists():
        path.write_text("x")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def dangling(path):
    path.symlink_to(path.parent / "nowhere")


def linked_folder(folder, name):
    elsewhere = folder.parent / "elsewhere"
    (elsewhere / "set").mkdir(parents=True)
    for place in (elsewhere, elsewhere / "set"):
        (place / "probe.json").write_text("{}")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(elsewhere)


def shown(folder, image, content=b"\x89PNG\r\n\x1a\n"):
    (folder / image).write_bytes(content)
    (folder / "README.md").write_text(f"![figure]({image})\n")


def result(folder, text):
    (folder / "results" / "set").mkdir(parents=True)
    (folder / "results" / "set" / "probe.json").write_text(text)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda f: shutil.rmtree(f), "model: no such folder, wanted a model that train.py wrote"),
        (lambda f: (f / "config.json").unlink(), "model: no config.json in it, wanted a model"),
        (lambda f: (f / "model.safetensors").unlink(), "model: no model.safetensors in it"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "pytorch_model.bin: got weights in pickle form",
        ),
        (lambda f: (f / "optimizer.pt").touch(), "wanted model.safetensors alone: load the model"),
        (lambda f: linked(f / "model.safetensors"), "model.safetensors: got a link, wanted a file"),
        (lambda f: linked(f / "log.jsonl"), "log.jsonl: got a link, wanted a file"),
        (lambda f: dangling(f / "README.md"), "README.md: got a link, wanted a file"),
        (lambda f: linked(f / "modeling_isoclr.py"), "modeling_isoclr.py: got a link, wanted"),
        (lambda f: linked_folder(f, "results"), "probe.json: got a link, wanted a file"),
        (lambda f: linked_folder(f, "results/set"), "probe.json: got a link, wanted a file"),
        (lambda f: shown(f, "../secret.png"), "secret.png: got a link, wanted a file"),
        (lambda f: shown(f, "plot.png", b"secret"), "plot.png: got no PNG, wanted a figure"),
        (lambda f: (f / "README.md").mkdir(), "README.md: got no file, wanted one or nothing"),
        (lambda f: os.mkfifo(f / "discriminants.json"), "discriminants.json: got no file, wanted"),
        (lambda f: result(f, "secret"), "results/set/probe.json: not JSON, wanted what isoclr"),
        (lambda f: result(f, "[" * 99999), "results/set/probe.json: not JSON, wanted what isoclr"),
        (lambda f: (f / "recipe.yaml").write_text("[1]"), "recipe.yaml: got list, wanted keys"),
        (lambda f: (f / "recipe.yaml").write_text(BOMB), "recipe.yaml: not YAML: line 2: got the"),
    ],
)
def test_a_folder_that_should_not_be_shared_is_refused(
    model_folder, tmp_path, capsys, alter, message
):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    alter(folder)
    assert main(["push", str(folder), "tester/refused"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("isoclr push: ") and message in line


@pytest.mark.slow
def test_what_the_hub_refuses_is_one_line(hub, folder, tmp_path):
    bad = shutil.copytree(folder, tmp_path / "bad")
    (bad / "README.md").write_text("---\nlicense: [\n---\n")
    code = """
import os, sys
from isoclr.cli import main
folder, bad = sys.argv[1:]
status = [main(["push", folder, "stranger/toy"]), main(["push", folder, "a/b/c"]),
          main(["push", bad, "tester/bad"])]
del os.environ["HF_TOKEN"]
sys.exit(status != [2, 2, 2] or main(["push", folder, "tester/toy"]))
"""
    done = run_client(hub, code, folder, bad, check=False)
    assert done.returncode == 2, done.stderr
    stranger, name, card, token = done.stderr.splitlines()
    refusal = f"the Hub at {hub.url} refuses"
    assert stranger.startswith(f"isoclr push: stranger/toy: {refusal} (403): You don't have the")
    assert name.startswith("isoclr push: a/b/c: Repo id must")
    assert card.startswith("isoclr push: tester/bad: Invalid metadata in README.md. - while pars")
    assert token.startswith(f"isoclr push: tester/toy: {refusal} (401): Invalid username")
    assert token.endswith("; log in with `hf auth login` or set HF_TOKEN")


@pytest.mark.slow
@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_out_of_reach_is_one_line(hub, folder, free_port, offline):
    url = f"http://127.0.0.1:{free_port}"
    environment = {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": offline}
    done = run_client(hub, PUSH, folder, "tester/toy", check=False, **environment)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"isoclr push: tester/toy: cannot reach the Hub at {url}: ")


@pytest.mark.slow
def test_push_to_hub_of_transformers_carries_the_code(hub, folder, tmp_path):
    code = """
import sys
from modeling_isoclr import IsoCLRForPreTraining, IsoCLRTokenizer
folder, repo = sys.argv[1:]
IsoCLRForPreTraining.from_pretrained(folder).push_to_hub(repo)
IsoCLRTokenizer.from_pretrained(folder).push_to_hub(repo)
"""
    run_client(hub, code, folder, "tester/plain")
    files = hub.repositories["model", "tester/plain"].at("main").files
    assert {path.name for path in folder.glob("*_isoclr.py")} <= files.keys()
    run_client(hub, ALONE + LOAD, "tester/plain", tmp_path / "out.safetensors")
    assert_equal_bits(tmp_path / "out.safetensors", expected(folder))
