import pytest


@pytest.fixture
def no_figure(monkeypatch):
    """Spares the time of the figures, which is most of it, where many datasets are built."""
    for drawing in ("report.draw_report", "build.draw_homology", "shards.draw_homology"):
        monkeypatch.setattr(
            f"data_builders.groups.{drawing}", lambda counts, path: path.write_bytes(b"")
        )
