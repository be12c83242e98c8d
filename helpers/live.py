"""Where something that changes can be shown."""

import sys
from typing import Any


def notebook_display() -> Any:
    """Return a display that can be drawn anew, in a notebook's kernel; None elsewhere."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    if type(get_ipython()).__name__ != "ZMQInteractiveShell":
        return None
    return display({"text/plain": ""}, raw=True, display_id=True)
