"""What the notebooks of the course share: data, plots, training, runs.

Importing this package is cheap: nothing here imports TensorFlow before it computes.
"""

from helpers import quiet

__version__ = "0.1.0"

quiet.install()
