"""Say what an installation has, what it lacks, and for what."""

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

from isoclr import __version__
from isoclr.shipped import SHIPPED_MODELS, recipes, shipped_model

CORE = "core"
_HUB_TIMEOUT = 10  # seconds


def examine(*, ask_hub: bool = False) -> dict:
    """Return the facts of this installation, ready for JSON.

    Args:
        ask_hub: ask the Hub whether it answers; nothing is asked of the network without it.

    Returns:
        `isoclr`, `python`, `platform`; `packages`, by extra ("core" for those always needed): the
        version found, or None, of each; `missing`, the extras that lack a package; `devices`;
        `threads`; `cache`, its folder and free bytes; `models` and `recipes` that come with the
        package; `hub`, the endpoint and, if asked, whether it answers; `problems`, a line each.
    """
    packages = _packages()
    found: dict = {
        "isoclr": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "missing": [
            extra for extra, names in packages.items() if extra != CORE and None in names.values()
        ],
        "devices": [],
        "threads": os.cpu_count(),
        "cache": _cache(),
        "models": [name for name in SHIPPED_MODELS if shipped_model(name).is_dir()],
        "recipes": list(recipes()),
        "hub": {"endpoint": os.environ.get("HF_ENDPOINT", "https://huggingface.co")},
        "problems": [],
    }
    lacking = [name for name, version in packages.get(CORE, {}).items() if version is None]
    found["problems"] += [f"{name}: not installed, and needed" for name in lacking]
    if "torch" not in lacking:
        _examine_torch(found)
    if ask_hub:
        _examine_hub(found)
    if not found["models"]:
        found["problems"].append("no shipped model: name one with --model")
    return found


def table(found: dict) -> str:
    """Return what `examine` found, for a person to read."""
    lines = [
        f"isoclr {found['isoclr']}, Python {found['python']}, {found['platform']}",
        f"devices   {', '.join(found['devices']) or 'CPU alone'}; {found['threads']} threads",
        f"models    {', '.join(found['models']) or 'none'}",
        f"recipes   {', '.join(found['recipes']) or 'none'}",
        f"cache     {found['cache']['folder']}, {found['cache']['free_bytes'] / 1e9:.0f} GB free",
    ]
    hub = found["hub"]
    answer = {True: ", answers", False: ", does not answer"}.get(hub.get("answers"), "")
    lines.append(f"Hub       {hub['endpoint']}{answer or ' (not asked; --hub asks)'}")
    for extra, names in found["packages"].items():
        shown = ", ".join(f"{name} {version or 'missing'}" for name, version in names.items())
        lines.append(f"{extra:<9} {shown}")
    for extra in found["missing"]:
        lines.append(f"to have {extra}: pip install 'isoclr[{extra}]'")
    lines += [f"problem: {problem}" for problem in found["problems"]]
    return "\n".join(lines)


def _packages() -> dict[str, dict[str, str | None]]:
    """Return name and version of what the package requires, by extra."""
    from packaging.requirements import Requirement

    packages: dict[str, dict[str, str | None]] = {CORE: {}}
    for text in importlib.metadata.requires("isoclr") or ():
        requirement = Requirement(text)
        extras = importlib.metadata.metadata("isoclr").get_all("Provides-Extra") or []
        extra = next(
            (
                name
                for name in extras
                if requirement.marker
                and not requirement.marker.evaluate({"extra": ""})
                and requirement.marker.evaluate({"extra": name})
            ),
            CORE,
        )
        if requirement.name != "isoclr":
            packages.setdefault(extra, {})[requirement.name] = _version(requirement.name)
    return packages


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _examine_torch(found: dict) -> None:
    import torch

    found["threads"] = torch.get_num_threads()
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        found["devices"].append(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)")
    if torch.backends.mps.is_available():
        found["devices"].append("Apple MPS")
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        found["problems"].append(
            f"torch {torch.__version__} sees no GPU, though nvidia-smi is there: install a CUDA "
            "build of torch, or check the driver"
        )


def _cache() -> dict:
    folder = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return {"folder": str(folder), "free_bytes": shutil.disk_usage(there).free}


def _examine_hub(found: dict) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    endpoint = found["hub"]["endpoint"]
    try:
        with urlopen(f"{endpoint}/api/models?limit=1", timeout=_HUB_TIMEOUT):
            found["hub"]["answers"] = True
    except HTTPError:  # whatever it said, it is there
        found["hub"]["answers"] = True
    except (OSError, ValueError) as error:
        found["hub"]["answers"] = False
        found["problems"].append(f"{endpoint}: {error}")
