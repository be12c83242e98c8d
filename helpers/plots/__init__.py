"""Every figure of the course, in one style, readable without colour and without eyes.

Each function returns a ``CourseFigure``: a matplotlib ``Figure`` that Jupyter shows once, as the
last expression of a cell or through ``display``, and that carries a description of what it shows.
"""

from helpers.plots.data import class_examples, correlation_heatmap, embedding, pair_plot
from helpers.plots.diagrams import (
    array_axes,
    course_path,
    graph_diagram,
    network_diagram,
    neuron_diagram,
)
from helpers.plots.figure import CourseFigure, image_grid, image_rows, subplots
from helpers.plots.learning import (
    confusion_matrix,
    curves,
    descent_paths,
    learning_curves,
    spread,
)
from helpers.plots.sweeps import (
    metric_by_parameter,
    metric_heat_map,
    overlaid_curves,
    parallel_coordinates,
)
from helpers.plots.vision import feature_map_grid, heat_maps, photo_predictions
