"""Isoform groups go to the Hub, and stream back where none of our code is."""

import json
import re
import shutil

import pytest
from huggingface_hub import DatasetCard

from data_builders.groups.build import GenomeSource, build
from data_builders.groups.grouping import Grouping
from data_builders.groups.parquet import read_groups
from data_builders.records import InputError
from isoclr.hub.dataset import is_dataset, push_dataset
from loopback_hub import File, Repository, run_client

# Pushes in a row, in one process: importing takes longer than they do. Prints URLs or errors.
PUSH = """
import json, sys
from data_builders.records import InputError
from isoclr.hub import dataset as dataset_hub
pushes, dataset_hub._WAITS = json.loads(sys.argv[1])
for push in pushes:
    try:
        print(dataset_hub.push_dataset(*push))
    except InputError as error:
        print(f"error: {error}")
"""
ALONE = "import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)\n"
LOAD = """
import json
from datasets import load_dataset
repo, *configs = sys.argv[1:]
for config in configs:
    streamed = load_dataset(repo, config, split="train", streaming=True)
    rows = list(streamed)
    assert rows == load_dataset(repo, config, split="train").to_list()
    print(json.dumps(rows))
"""
SPECIES = ("caenorhabditis_elegans", "arabidopsis_thaliana", "drosophila_melanogaster")


@pytest.fixture(scope="module")
def species_folders(clade, tmp_path_factory):
    """A folder of two datasets, a species each."""
    folder = tmp_path_factory.mktemp("species")
    for source in zip(clade.genomes, clade.annotations, clade.species, strict=True):
        build([GenomeSource(*source)], folder / source[2], Grouping(rows_per_file=10))
    return folder


def push(hub, *pushes, waits=(), **environment):
    """What the client printed, a line a push; each is folders, repository and maybe private."""
    arguments = json.dumps([pushes, waits], default=str)
    return run_client(hub, PUSH, arguments, **environment)


def stream_back(hub, repo, *configs):
    """Rows of each configuration, by `datasets` alone."""
    done = run_client(hub, ALONE + LOAD, repo, *configs)
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(folder):
    """What `build` wrote, through the reader of the trainer."""
    rows = []
    for group in read_groups(folder):
        row = {"group_id": group.group_id}
        for name in ("transcript_id", "gene_id", "species", "sequence", "cds_start", "cds_end"):
            row[name] = [getattr(t, name) for t in group.transcripts]
        junctions = (t.exon_junctions for t in group.transcripts)
        row["exon_junctions"] = [None if j is None else list(j) for j in junctions]
        rows.append(row)
    return rows


def dataset(hub, name):
    return hub.repositories["dataset", name]


def files_under(folder):
    """What is pushed of a folder of folders, path -> bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_one_dataset_is_one_commit_and_streams_back(hub, groups_folder, tmp_path):
    folder = shutil.copytree(groups_folder, tmp_path / "groups")
    (folder / "notes.txt").write_text("private")
    (folder / "data" / "scratch.tmp").write_text("private")
    done = push(hub, (folder, "tester/toy-groups"))
    assert done.stdout == f"{hub.url}/datasets/tester/toy-groups\n"
    repository = dataset(hub, "tester/toy-groups")
    titles = [commit.title for commit in repository.commits]
    assert titles == ["initial commit", "Upload isoform groups: default"]
    files = repository.at("main").files
    assert files.keys() == {".gitattributes", "README.md"} | files_under(groups_folder).keys()
    for path, data in files_under(groups_folder).items():
        assert files[path].data == data
    assert not repository.private
    (rows,) = stream_back(hub, "tester/toy-groups", "default")
    assert rows == rows_of(groups_folder) and len(rows) > 20


@pytest.mark.slow
def test_a_dataset_may_go_to_a_branch_or_be_a_pull_request(hub, groups_folder):
    code = """
import sys
from isoclr.cli import main
assert main(["push", *sys.argv[1:], "--revision", "next"]) == 0
sys.exit(main(["push", *sys.argv[1:], "--create-pr"]))
"""
    done = run_client(hub, code, groups_folder, "tester/reviewed")
    url = f"{hub.url}/datasets/tester/reviewed"
    assert done.stdout.split()[0] == url
    repository = dataset(hub, "tester/reviewed")
    assert [commit.title for commit in repository.commits] == ["initial commit"]
    wanted = {".gitattributes", "README.md"} | files_under(groups_folder).keys()
    for branch in ("next", "refs/pr/2"):
        assert repository.at(branch).files.keys() == wanted


@pytest.mark.slow
def test_a_folder_of_folders_is_a_configuration_each_and_the_card_loads_it(hub, species_folders):
    push(hub, (species_folders, "tester/two-species"))
    files = dataset(hub, "tester/two-species").at("main").files
    assert files.keys() == {".gitattributes", "README.md"} | files_under(species_folders).keys()
    names = sorted(path.name for path in species_folders.iterdir())
    back = stream_back(hub, "tester/two-species", *names)
    assert back == [rows_of(species_folders / name) for name in names]
    assert [{row["species"][0] for row in rows} for rows in back] == [{name} for name in names]

    card = files["README.md"].data.decode()
    assert [config["config_name"] for config in DatasetCard(card).data.configs] == names
    (code,) = re.findall("^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE)
    done = run_client(hub, ALONE + code)
    group = next(read_groups(species_folders / names[0]))
    printed = [f"{group.group_id} {t.transcript_id} {len(t.sequence)}" for t in group.transcripts]
    assert done.stdout.splitlines() == printed


@pytest.mark.slow
def test_configurations_pushed_one_after_the_other_are_all_in_the_card(hub, species_folders):
    one, two = sorted(species_folders.iterdir())
    pushes = ([one], "tester/growing"), ([two], "tester/growing"), ([one, two], "tester/at-once")
    push(hub, *pushes)
    _, first, grown = dataset(hub, "tester/growing").commits
    assert two.name not in first.files["README.md"].data.decode()
    at_once = dataset(hub, "tester/at-once").at("main").files
    card = at_once["README.md"].data.replace(b"at-once", b"growing")
    assert grown.files["README.md"].data == card
    assert grown.files.items() - at_once.items() == {("README.md", grown.files["README.md"])}


@pytest.mark.slow
def test_a_second_push_adds_nothing_and_a_changed_one_leaves_nothing_old(
    hub, species_folders, clade, tmp_path
):
    one, two = sorted(species_folders.iterdir())
    changed = tmp_path / one.name
    source = GenomeSource(clade.genomes[0], clade.annotations[0], one.name)
    build([source], changed, Grouping(max_length=4_000))
    both = [one, two], "tester/again"
    push(hub, both, both, ([changed], "tester/again"))
    _, before, after = (commit.files for commit in dataset(hub, "tester/again").commits)
    assert sum(path.startswith(f"{one.name}/data/") for path in before) > 1
    inside = [path for path in after if path.startswith(f"{one.name}/data/")]
    assert inside == [f"{one.name}/data/train-00000-of-00001.parquet"]
    other = {path: file for path, file in before.items() if path.startswith(f"{two.name}/")}
    assert other.items() <= after.items()
    assert stream_back(hub, "tester/again", one.name, two.name) == [rows_of(changed), rows_of(two)]


@pytest.mark.slow
def test_shards_are_pushed_as_the_dataset_that_they_are(hub, clade, groups_folder, tmp_path):
    found = list(map(GenomeSource, clade.genomes, clade.annotations, clade.species))
    for number in (1, 0):
        build(found, tmp_path / "parts", homology=clade.homology, shard=(number, 2))
    code = "import sys; from isoclr.cli import main; sys.exit(main(['push', *sys.argv[1:]]))"
    done = run_client(hub, code, tmp_path / "parts", "tester/shards")
    assert done.stdout == f"{hub.url}/datasets/tester/shards\n"
    run_client(hub, code, groups_folder, "tester/whole")
    parts, whole = (dataset(hub, f"tester/{n}").at("main").files for n in ("shards", "whole"))
    assert {path for path in parts if "data/" not in path} == {
        path for path in whole if "data/" not in path
    }
    for name in ("report.json", "report.png", "homology.png"):
        assert parts[name].data == whole[name].data
    assert parts["README.md"].data.replace(b"shards", b"whole") == whole["README.md"].data
    rows = stream_back(hub, "tester/shards", "default")[0]
    assert sorted(map(repr, rows)) == sorted(map(repr, rows_of(groups_folder)))


@pytest.mark.slow
def test_a_hub_that_is_away_for_a_while_is_tried_again(hub, groups_folder):
    hub.faults += [("/commit/", 500), ("/commit/", 412), ("/api/repos/create", 429)]
    done = push(hub, (groups_folder, "tester/patient"), waits=[0, 0, 0])
    assert not hub.faults
    assert done.stderr.count("; trying again in 0 s") == 3
    assert len(dataset(hub, "tester/patient").commits) == 2


@pytest.mark.slow
def test_a_push_that_broke_off_sends_nothing_twice(hub, clade, tmp_path):
    source = GenomeSource(clade.genomes[1], clade.annotations[1], "once")
    build(
        [source], tmp_path / "groups", Grouping(rows_per_file=10)
    )  # content that the Hub has not seen
    hub.faults.append(("/commit/", 503))
    start = len(hub.requests)
    first, second = push(hub, *[(tmp_path / "groups", "tester/resumed")] * 2).stdout.splitlines()
    assert first.startswith(f"error: tester/resumed: the Hub at {hub.url} refuses (503): ")
    assert second == f"{hub.url}/datasets/tester/resumed"
    repository = dataset(hub, "tester/resumed")
    assert len(repository.commits) == 2
    assert [r.status for r in hub.requests[start:] if "/commit/" in r.path] == [503, 200]
    sent = [request.path for request in hub.requests[start:] if request.method == "PUT"]
    shards = [file.oid for path, file in repository.at("main").files.items() if "data/" in path]
    assert len(shards) > 1 and sorted(sent) == sorted(f"/lfs/{oid}" for oid in shards)


@pytest.mark.slow
def test_two_machines_at_once_do_not_lose_a_configuration(hub, species_folders):
    one, two = sorted(species_folders.iterdir())
    code = """
import sys
from isoclr.hub import dataset as dataset_hub
one, two, repo = sys.argv[1:]
dataset_hub._WAITS = (0,)
render, late = dataset_hub.render_dataset_card, [two]
def slow_render(*arguments):
    card = render(*arguments)
    if late:  # the other machine is done while this one is at it
        dataset_hub.push_dataset([late.pop()], repo)
    return card
dataset_hub.render_dataset_card = slow_render
dataset_hub.push_dataset([one], repo)
"""
    done = run_client(hub, code, one, two, "tester/raced")
    assert "refuses (412): " in done.stderr
    card = dataset(hub, "tester/raced").at("main").files["README.md"].data.decode()
    configs = [config["config_name"] for config in DatasetCard(card).data.configs]
    assert configs == [one.name, two.name]


@pytest.mark.slow
def test_what_is_refused_is_one_line_and_not_tried_again(hub, groups_folder):
    pushes = (
        (groups_folder, "tester/hidden", True),
        (groups_folder, "tester/open"),
        (groups_folder, "tester/open", True),
        (groups_folder, "stranger/toy"),
    )
    done = push(hub, *pushes, waits=[600])
    assert done.stdout.splitlines() == [
        f"{hub.url}/datasets/tester/hidden",
        f"{hub.url}/datasets/tester/open",
        f"error: tester/open: is public on {hub.url}, wanted a private repository",
        f"error: stranger/toy: the Hub at {hub.url} refuses (403): You don't have the rights to "
        'create a dataset under the namespace "stranger".',
    ]
    assert dataset(hub, "tester/hidden").private and not dataset(hub, "tester/open").private


@pytest.mark.slow
def test_a_repository_with_a_script_of_its_name_is_refused(hub, groups_folder):
    repository = Repository("dataset", "tester/scripted", private=False)
    repository.add("a script", {"scripted.py": File(b"")})
    hub.repositories["dataset", "tester/scripted"] = repository
    done = push(hub, (groups_folder, "tester/scripted"), waits=[600])
    assert done.stdout.startswith("error: tester/scripted: got scripted.py in it, wanted no script")
    assert len(repository.commits) == 1


@pytest.mark.slow
def test_a_hub_out_of_reach_is_tried_again_and_then_one_line(hub, groups_folder, free_port):
    url = f"http://127.0.0.1:{free_port}"
    done = push(hub, (groups_folder, "tester/toy"), waits=[0], HF_ENDPOINT=url)
    assert done.stderr.count("; trying again in 0 s") == 1
    (error,) = done.stdout.splitlines()
    assert error.startswith(f"error: tester/toy: cannot reach the Hub at {url}: ")


def test_what_a_dataset_is(groups_folder, species_folders, tmp_path):
    assert is_dataset(groups_folder) and is_dataset(species_folders)
    assert not is_dataset(tmp_path) and not is_dataset(tmp_path / "absent")
    (tmp_path / "data").mkdir()
    assert not is_dataset(tmp_path)


def edit(name, change):
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def link(path):
    elsewhere = path.rename(path.with_name(f"{path.name}-elsewhere"))
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (shutil.rmtree, "no data/*.parquet in it or in its folders, wanted isoform groups"),
        (lambda f: shutil.rmtree(f / "data"), "no data/*.parquet in it"),
        (lambda f: (f / "report.json").unlink(), "report.json: no such file, wanted the report"),
        (lambda f: (f / "report.png").unlink(), "no report.png in it, wanted isoform groups"),
        (edit("report.json", lambda t: "[]"), "report.json: no sources in it"),
        (lambda f: (f / "reports").mkdir(), "reports: got no report, wanted one of every shard"),
        (
            edit("report.json", lambda t: re.sub('"groups": .*,', '"groups": 1,', t)),
            "report.json: dataset.groups: got 1, wanted ",
        ),
        (
            lambda f: next((f / "data").iterdir()).write_text("PAR1"),
            "wanted Parquet",
        ),
        (
            lambda f: next((f / "data").iterdir()).rename(f / "data/train-00000-of-00002.parquet"),
            "got 1 of 2 files, wanted train-00001-of-00002.parquet too",
        ),
        (lambda f: link(f / "report.png"), "report.png: got a link, wanted a file of the folder"),
        (lambda f: link(next((f / "data").iterdir())), "got a link, wanted a file of the folder"),
        (lambda f: link(f / "data"), "got a link, wanted a file of the folder itself"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(groups_folder, tmp_path, alter, message):
    folder = shutil.copytree(groups_folder, tmp_path / "groups")
    alter(folder)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        push_dataset(folder, "tester/refused")
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["default", "data", "a b", ".hidden", "é~"])
def test_a_name_that_is_no_configuration_is_refused(groups_folder, tmp_path, name):
    folder = shutil.copytree(groups_folder, tmp_path / name)
    with pytest.raises(InputError, match=re.escape(f"name of the folder: got {name!r}, wanted")):
        push_dataset([folder], "tester/refused")


def test_two_folders_of_a_name_are_refused(groups_folder, tmp_path):
    folders = [shutil.copytree(groups_folder, tmp_path / n / "worm") for n in "ab"]
    with pytest.raises(InputError, match="got the name of .*a/worm again, wanted another"):
        push_dataset(folders, "tester/refused")
    with pytest.raises(InputError, match="got no folder, wanted isoform groups"):
        push_dataset([], "tester/refused")


@pytest.mark.slow
def test_real_genomes_build_share_and_stream(hub, real_data, tmp_path):
    folders = []
    for species in SPECIES:
        genome, annotation = (
            real_data / "genomes" / f"{species}.1pct.{ending}.gz" for ending in ("fa", "gff3")
        )
        folders.append(tmp_path / species)
        build([GenomeSource(genome, annotation, species)], folders[-1])
    push(hub, (folders, "tester/one-percent"))
    back = stream_back(hub, "tester/one-percent", *SPECIES)
    for species, rows, folder in zip(SPECIES, back, folders, strict=True):
        assert rows == rows_of(folder)
        assert {name for row in rows for name in row["species"]} == {species}
        assert any(len(row["transcript_id"]) > 1 for row in rows)
