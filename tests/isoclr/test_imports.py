"""Importing has no side effects, and registers the Auto classes all the same."""

import subprocess
import sys

import pytest


def run_python(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = ("torch", "transformers", "numpy", "polars", "pyarrow", "matplotlib", "sklearn")
PRINT_HEAVY = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"


@pytest.mark.parametrize(
    "code",
    [
        "import isoclr",
        "from isoclr.cli import main; main(['--help'])",
        "from isoclr.cli import main; main(['build', '--help'])",
        "from isoclr.cli import main; main(['labels', 'go', '--help'])",
        "from isoclr.cli import main; main(['embed', '--wrong'])",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    assert run_python(f"{code}\n{PRINT_HEAVY}").splitlines()[-1] == "[]"


def test_help_takes_less_than_700_ms_of_cpu():
    code = "from isoclr.cli import main; main(['--help']); import time; print(time.process_time())"
    assert min(float(run_python(code).splitlines()[-1]) for _ in range(3)) < 0.7


@pytest.mark.parametrize(
    "imports",
    [
        "import isoclr; import transformers",
        "import transformers; import isoclr",
        "import isoclr; from transformers import AutoModel",
        "import isoclr; import transformers.models.auto.modeling_auto",
        "import isoclr; from modeling_isoclr import IsoCLRModel; import transformers",
        "import isoclr, importlib; importlib.reload(isoclr); import transformers",
    ],
)
def test_auto_classes_know_the_models_whichever_is_imported_first(imports, model_folder):
    code = (
        f"import sys; {imports}; import transformers as t; folder = sys.argv[1]\n"
        "model = t.AutoModel.from_pretrained(folder)\n"
        "tokenizer = t.AutoTokenizer.from_pretrained(folder)\n"
        "pipe = t.pipeline('isoform-embedding', model=folder)\n"
        "print(type(model).__module__, type(tokenizer).__name__, type(pipe).__name__)\n"
    )
    assert run_python(code, model_folder).splitlines()[-1] == (
        "modeling_isoclr.modeling_isoclr IsoCLRTokenizer IsoformEmbeddingPipeline"
    )


def test_the_matplotlib_backend_of_the_user_stays():
    code = (
        "import matplotlib; matplotlib.use('svg')\n"
        "import pkgutil, importlib, isoclr, data_builders\n"
        "for package in (isoclr, data_builders):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "import sys, train\n"
        "print(matplotlib.get_backend(), 'matplotlib.pyplot' in sys.modules)\n"
    )
    assert run_python(code).splitlines()[-1] == "svg False"
