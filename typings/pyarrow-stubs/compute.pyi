# pyarrow makes these functions when it is imported, so no checker finds them.
from typing import Any

def __getattr__(name: str) -> Any: ...
