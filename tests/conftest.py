import os
import socket
from pathlib import Path

import pytest
from hypothesis import settings

from data_builders.groups.build import GenomeSource, build
from data_builders.simulate.clade import simulate_clade
from loopback_hub import LoopbackHub

# Before torch is imported, and for the processes that tests start: on few cores that others use
# too, threads that wait for each other cost more than they bring.
os.environ["OMP_NUM_THREADS"] = "1"
# Nor does `load_dataset` tell a server which kind of file it opens: a closed network may let it
# wait for an answer each time.
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"

# An example may take long on a machine that does other work: that is no fault of what is tested.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("ISOCLR_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; point ISOCLR_DATA at it")
    return folder


@pytest.fixture(scope="session")
def clade(tmp_path_factory):
    """Two small simulated species, as files."""
    return simulate_clade(tmp_path_factory.mktemp("clade"), species=2, genes=24, seed=1)


@pytest.fixture(scope="session")
def groups_folder(clade, tmp_path_factory) -> Path:
    """Isoform groups of the clade, as `isoclr build` writes them."""
    folder = tmp_path_factory.mktemp("groups")
    sources = [
        GenomeSource(genome, annotation, species)
        for genome, annotation, species in zip(
            clade.genomes, clade.annotations, clade.species, strict=True
        )
    ]
    build(sources, folder, homology=clade.homology)
    return folder


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A running Hub on 127.0.0.1; its clients are processes, see `run_client`."""
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as running:
        yield running
