"""The loopback Hub, as huggingface_hub and datasets see it."""

import json
from pathlib import Path

import pytest

from loopback_hub import run_client

# Uploads a folder and downloads it again; prints what the client learnt.
ROUND_TRIP = """
import json, sys
from huggingface_hub import HfApi, snapshot_download
folder, repo, kind, download = sys.argv[1:]
api = HfApi()
url = api.create_repo(repo, repo_type=kind)
api.create_repo(repo, repo_type=kind, exist_ok=True)
try:
    api.create_repo(repo, repo_type=kind)
except Exception as error:
    again = error.response.status_code
first = api.upload_folder(folder_path=folder, repo_id=repo, repo_type=kind)
same = api.upload_folder(folder_path=folder, repo_id=repo, repo_type=kind)
snapshot_download(repo, repo_type=kind, local_dir=download)
print(json.dumps({
    "who": api.whoami()["name"], "url": url, "again": again,
    "files": sorted(api.list_repo_files(repo, repo_type=kind)),
    "same commit": first.oid == same.oid == api.repo_info(repo, repo_type=kind).sha,
    "tree": [entry.path for entry in api.list_repo_tree(repo, "sub", repo_type=kind)],
    "info": [entry.path for entry in api.get_paths_info(repo, ["sub", "a.txt"], repo_type=kind)],
}))
"""

# Downloads what is not there; prints the exceptions.
MISSING = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download
repo, = sys.argv[1:]
def error_of(call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except Exception as error:
        return type(error).__name__
api = HfApi()
print(json.dumps([
    error_of(hf_hub_download, repo, "absent.txt"),
    error_of(hf_hub_download, repo, "a.txt", revision="absent"),
    error_of(hf_hub_download, "tester/absent", "a.txt"),
    error_of(api.model_info, "tester/absent"),
    error_of(api.dataset_info, repo),
    error_of(lambda: list(api.list_repo_tree(repo, "absent"))),
    error_of(api.model_info, repo, token=False),
    error_of(api.create_repo, "tester/b", token=False),
    error_of(api.create_repo, "stranger/b"),
]))
"""

RANGES = """
import json, sys
from huggingface_hub import HfApi, HfFileSystem, get_hf_file_metadata, get_session, hf_hub_url
repo, = sys.argv[1:]
big, small = (hf_hub_url(repo, name) for name in ("b.safetensors", "a.txt"))
headers = {"authorization": "Bearer hf_loopback"}
answers = []
for url in (big, small):
    for wanted in ("bytes=2-4", "bytes=995-", "bytes=-3", "bytes=5000-"):
        r = get_session().get(url, headers={**headers, "Range": wanted}, follow_redirects=True)
        answers.append([r.status_code, r.text, r.headers["Content-Range"]])
metadata = get_hf_file_metadata(big)
with HfFileSystem().open(f"{repo}/b.safetensors", block_size=16) as file:
    file.seek(996)
    tail = file.read().decode()
print(json.dumps([answers, metadata.etag, metadata.size, metadata.location, tail]))
"""

BYTES = b"0123456789" * 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "a.txt").write_bytes(BYTES)
    (folder / "empty.txt").touch()
    (folder / "b.safetensors").write_bytes(BYTES)
    (folder / "sub" / "c.parquet").write_bytes(b"PAR1")
    (folder / "sub" / "deeper" / "d é.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def repository(hub, folder) -> str:
    """A private model of the folder."""
    code = "import sys; from huggingface_hub import HfApi; api = HfApi()\n"
    code += "api.create_repo(sys.argv[2], private=True)\n"
    code += "api.upload_folder(folder_path=sys.argv[1], repo_id=sys.argv[2])"
    run_client(hub, code, folder, "tester/stored")
    return "tester/stored"


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_folder_comes_back_as_it_went(hub, folder, tmp_path, kind):
    repo = f"tester/round-{kind}"
    seen = json.loads(run_client(hub, ROUND_TRIP, folder, repo, kind, tmp_path).stdout)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert seen == {
        "who": "tester",
        "url": f"{hub.url}/{'datasets/' if kind == 'dataset' else ''}{repo}",
        "again": 409,
        "files": [".gitattributes", *names],
        "same commit": True,
        "tree": ["sub/deeper", "sub/c.parquet"],
        "info": ["a.txt", "sub"],
    }
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    stored = hub.repositories[kind, repo]
    assert len(stored.commits) == 2 and not stored.private
    assert {path for path, file in stored.commits[-1].files.items() if file.lfs} == {
        "b.safetensors",
        "sub/c.parquet",
    }


def test_what_is_missing_or_forbidden_is_an_error_of_huggingface_hub(hub, repository):
    assert json.loads(run_client(hub, MISSING, repository).stdout) == [
        "RemoteEntryNotFoundError",
        "RevisionNotFoundError",
        "RepositoryNotFoundError",
        "RepositoryNotFoundError",
        "RepositoryNotFoundError",
        "RemoteEntryNotFoundError",
        "RepositoryNotFoundError",  # private, and no token
        "HfHubHTTPError",
        "HfHubHTTPError",
    ]


def test_ranges_and_redirects(hub, repository):
    seen = json.loads(run_client(hub, RANGES, repository).stdout)
    answers, etag, size, location, tail = seen
    one_file = [
        [206, "234", "bytes 2-4/1000"],
        [206, "56789", "bytes 995-999/1000"],
        [206, "789", "bytes 997-999/1000"],
        [416, "", "bytes */1000"],
    ]
    assert answers == one_file * 2
    stored = hub.repositories["model", repository].at("main").files["b.safetensors"]
    assert (etag, size) == (stored.oid, 1000)
    assert location == f"http://localhost:{hub.port}/lfs/{stored.oid}"
    assert tail == "6789"
    fetched = [r for r in hub.requests if r.path == f"/lfs/{stored.oid}" and r.method == "GET"]
    assert {r.headers["Host"] for r in fetched} == {f"localhost:{hub.port}"}
    # What redirects to another host must not take the token there.
    assert not any("Authorization" in r.headers for r in fetched)


def test_isoform_groups_stream_from_a_dataset(hub, groups_folder):
    code = """
import sys
from datasets import load_dataset
from huggingface_hub import HfApi
folder, repo = sys.argv[1:]
HfApi().create_repo(repo, repo_type="dataset")
HfApi().upload_folder(folder_path=folder, repo_id=repo, repo_type="dataset")
whole = load_dataset(repo, split="train")
streamed = list(load_dataset(repo, split="train", streaming=True))
assert streamed == whole.to_list() == load_dataset(folder, split="train").to_list()
print(len(streamed))
"""
    done = run_client(hub, code, groups_folder, "tester/isoform-groups")
    report = json.loads((groups_folder / "report.json").read_text())
    assert int(done.stdout) == report["dataset"]["groups"]


def test_faults_are_answered_once_and_a_late_commit_is_refused(hub):
    code = """
import sys
from huggingface_hub import CommitOperationAdd, HfApi
api, repo = HfApi(), sys.argv[1]
api.create_repo(repo, repo_type="dataset")
first = api.dataset_info(repo).sha
def commit(text, parent):
    add = [CommitOperationAdd("a.txt", text.encode())]
    try:
        api.create_commit(
            repo, add, commit_message=text, repo_type="dataset", parent_commit=parent
        )
        print("done")
    except Exception as error:
        print(error.response.status_code)
for text, parent in (("one", first), ("one", first), ("two", first), ("two", None)):
    commit(text, parent)
"""
    hub.faults.append(("tester/late/commit/", 500))
    done = run_client(hub, code, "tester/late")
    assert done.stdout.split() == ["500", "done", "412", "done"]
    commits = hub.repositories["dataset", "tester/late"].commits
    assert [commit.title for commit in commits] == ["initial commit", "one", "two"]
