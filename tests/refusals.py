"""Feed bad input to ``load_dataset`` and read the message."""

import pytest

from helpers.datasets import DatasetError, load_dataset


def refusal(source, **options) -> str:
    """Return the one line by which a source is refused."""
    with pytest.raises(DatasetError) as caught:
        load_dataset(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
