"""Register the models with transformers as soon as it is imported, and not before."""

import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec


def register_with_transformers() -> None:
    """Register the Auto classes now if transformers is loaded, else when it is imported."""
    if "transformers" in sys.modules:
        import modeling_isoclr  # noqa: F401  registers the Auto classes
    elif not any(isinstance(finder, _TransformersFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TransformersFinder())


class _TransformersFinder(MetaPathFinder):
    """Finds transformers as other finders do; its import then registers the Auto classes."""

    def find_spec(self, fullname, path, target=None):
        if fullname != "transformers":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        loader, execute = spec.loader, spec.loader.exec_module

        def execute_and_register(module) -> None:
            execute(module)
            register_with_transformers()

        loader.exec_module = execute_and_register
        return spec
