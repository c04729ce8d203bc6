import json

import pytest

from isoclr import __version__, doctor
from isoclr.cli import main
from isoclr.shipped import SHIPPED_MODELS


def test_the_doctor_names_versions_and_asks_no_network(capsys, monkeypatch):
    def no_network(*_, **__):
        raise AssertionError("the doctor asked the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["isoclr"] == __version__
    assert found["packages"]["core"]["torch"].startswith("2.")
    assert found["packages"]["core"]["transformers"] and found["packages"]["test"]["pytest"]
    assert found["models"] == list(SHIPPED_MODELS) and found["problems"] == []
    assert found["cache"]["free_bytes"] > 0 and "answers" not in found["hub"]
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.startswith(f"isoclr {__version__}, Python 3.")


def test_what_is_missing_is_named_with_its_extra(monkeypatch, capsys):
    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: None if n in ("pysam", "tqdm") else known(n))
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "problem: tqdm: not installed, and needed" in printed
    assert "pysam missing" in printed and "pip install 'isoclr[test]'" in printed
    assert "test" in doctor.examine()["missing"]


@pytest.mark.parametrize("there", [True, False])
def test_the_hub_is_asked_when_it_is_to_be(there, hub, free_port, monkeypatch, capsys):
    endpoint = hub.url if there else f"http://127.0.0.1:{free_port}"
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert main(["doctor", "--hub", "--json"]) == (0 if there else 1)
    found = json.loads(capsys.readouterr().out)
    assert found["hub"] == {"endpoint": endpoint, "answers": there}
    assert len(found["problems"]) == (0 if there else 1)


def test_the_version_is_one_line(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"isoclr {__version__}\n"
