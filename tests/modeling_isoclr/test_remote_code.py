"""Every head, from a folder and from the Hub, where no package of ours can be imported."""

import pytest
import torch
import transformers
from safetensors.torch import load_file

from loopback_hub import run_client
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import AUTO_MAP
from toys import tiny, trained_like

HEADS = [name for name in AUTO_MAP if name != "AutoConfig"]
COMPUTE = """
import torch, transformers

def compute(head, source, **load):
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, **load)
    model = getattr(transformers, head).from_pretrained(source, **load).eval()
    base = transformers.AutoModel.from_pretrained(source, **load).eval()
    batch = tokenizer(["ACGUACGTNN" * 5, "ATGGCCTAA"], cds=[None, (0, 9)],
                      exon_junctions=[[3], [4]], padding=True, return_tensors="pt")
    extra = {"return_loss": False} if head == "AutoModelForPreTraining" else {}
    embed = transformers.pipeline("isoform-embedding", model=source, **load)
    records = ["ACGUACGTNN" * 5, {"sequence": "ATGGCCTAA", "cds": (0, 9), "exon_junctions": [4]}]
    with torch.inference_mode():
        outputs = {**model(**batch, **extra), "embedding": base(**batch).pooler_output}
    outputs["pipeline"] = torch.from_numpy(embed(records))
    return {name: value for name, value in outputs.items() if value is not None}
"""
CLIENT = (
    "import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)\n"
    + COMPUTE
    + """
from safetensors.torch import save_file
*sources, out = sys.argv[1:]
tensors = {}
for source in sources:
    head, place = source.split("=")
    for name, value in compute(head, place, trust_remote_code=True).items():
        tensors[f"{head}.{name}"] = value.contiguous()
save_file(tensors, out)
"""
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder a head, saved by it."""
    made = {}
    for head in HEADS:
        made[head] = tmp_path_factory.mktemp(head)
        torch.manual_seed(0)
        auto_class = getattr(transformers, head)
        model = trained_like(auto_class.from_config(tiny(num_labels=3)))
        model.save_pretrained(made[head])
        IsoCLRTokenizer().save_pretrained(made[head])
    return made


@pytest.fixture(scope="module")
def expected(folders):
    """What our own classes compute."""
    scope: dict = {}
    exec(COMPUTE, scope)
    return {
        f"{head}.{name}": value
        for head, folder in folders.items()
        for name, value in scope["compute"](head, str(folder)).items()
    }


@pytest.fixture(scope="module")
def repositories(hub, folders):
    """A repository a head."""
    push = (
        "import sys; from isoclr.hub.push import push\nfor a in sys.argv[1:]: push(*a.split('='))"
    )
    names = {head: f"tester/{head}" for head in folders}
    run_client(hub, push, *(f"{folders[head]}={name}" for head, name in names.items()))
    return names


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folders", "repositories"])
def test_every_head_computes_the_same_bits(hub, place, request, expected, tmp_path):
    places = request.getfixturevalue(place)
    out = tmp_path / "out.safetensors"
    run_client(hub, CLIENT, *(f"{head}={where}" for head, where in places.items()), out)
    found = load_file(out)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
