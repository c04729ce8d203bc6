"""A push that takes its time costs no step any."""

import threading

import pytest

from data_builders.records import InputError
from isoclr.hub import background
from isoclr.hub.background import BackgroundPush


class Hub:
    """Takes pushes one after the other, each when it is let."""

    def __init__(self):
        self.pushed, self.let, self.error = [], threading.Semaphore(0), None

    def push(self, folder, repo):
        self.let.acquire()
        if self.error is not None:
            raise self.error
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        self.pushed.append((repo, files, (folder / "log.jsonl").read_text()))


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(background, "push", hub.push)
    return hub


@pytest.fixture
def folder(tmp_path):
    for name in ("config.json", "model.safetensors", "results/set/probe.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "log.jsonl").write_text("1")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "private.txt").touch()
    return tmp_path


def test_what_is_pushed_is_the_model_of_its_step(hub, folder):
    sharing = BackgroundPush(folder, "o/n")
    sharing.start()
    (folder / "log.jsonl").write_text("2")  # the run goes on
    sharing.start()  # the first is not through: left out
    hub.let.release()
    sharing.finish(10)
    sharing.start()
    hub.let.release()
    sharing.finish(10)
    files = {"config.json", "model.safetensors", "results/set/probe.json", "log.jsonl"}
    assert hub.pushed == [("o/n", files, "1"), ("o/n", files, "2")]
    assert not (folder / ".push").exists()


def test_a_hub_that_never_answers_holds_nobody(hub, folder, capsys):
    sharing = BackgroundPush(folder, "o/n")
    sharing.start()
    sharing.finish(0.05)
    sharing.start()
    assert not hub.pushed
    assert "o/n: still taking the push before; this one waits" in capsys.readouterr().err
    hub.let.release(2)
    sharing.finish(10)


@pytest.mark.parametrize("error", [InputError("the Hub refuses"), RuntimeError("no\nroute")])
def test_what_goes_wrong_is_one_line_and_the_next_push_tries_again(hub, folder, capsys, error):
    sharing, hub.error = BackgroundPush(folder, "o/n"), error
    hub.let.release(2)
    sharing.start()
    sharing.finish(10)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("not pushed, will try again: ") and str(error).split()[0] in line
    hub.error = None
    sharing.start()
    sharing.finish(10)
    assert len(hub.pushed) == 1


def test_what_a_killed_run_left_is_replaced(hub, folder):
    (folder / ".push").mkdir()
    (folder / ".push" / "secret.json").touch()
    sharing = BackgroundPush(folder, "o/n")
    hub.let.release()
    sharing.start()
    sharing.finish(10)
    assert "secret.json" not in hub.pushed[0][1]


def test_a_link_is_refused_before_anything_is_copied(hub, folder, tmp_path_factory):
    (folder / "recipe.yaml").symlink_to(tmp_path_factory.mktemp("other"))
    with pytest.raises(InputError, match="recipe.yaml: got a link"):
        BackgroundPush(folder, "o/n").start()
    assert not (folder / ".push").exists()


@pytest.mark.parametrize("repo", ["../../x", "a/b/c", "o/n ", "-n", ""])
def test_a_name_of_no_repository_is_refused_before_the_first_step(folder, repo):
    with pytest.raises(InputError, match="push_to_hub: "):
        BackgroundPush(folder, repo)
