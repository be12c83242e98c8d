"""What the notebooks of the course share: data, plots, training, runs.

Importing this package is cheap: nothing here imports TensorFlow before it computes.
"""

import os

# TensorFlow reads this when it is first imported; 2 hides its notices and keeps its errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"
