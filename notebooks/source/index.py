# %% [markdown]
# # A deep-learning course
#
# For whoever knows some Python and wants to understand how networks learn, by building them. You need no graphics card,
# and after the installation no network. Afterwards you can load and examine data, build and train networks in NumPy and
# in Keras, read what a trained network does, use networks that others have trained, and tell a result from luck.
#
# **Begin with [lesson 01](01_load_data.ipynb).** Open it with a click and run its cells one after the other
# (Shift+Enter).

# %% tags=["hide"]
from helpers import plots

plots.course_path()

# %% [markdown]
# | lesson | hours | you will be able to |
# |---|---|---|
# | [01 · Load data](01_load_data.ipynb) | 2½ | read images and tables, clean, scale and split them, and find leaks |
# | [02 · Explore data](02_explore_data.ipynb) | 2¾ | describe data, find wrong labels, draw maps and groups, judge scores |
# | [03 · Neural networks](03_neural_networks.ipynb) | 3 | build and train a network in NumPy, and derive how it learns |
# | [04 · Training with Keras](04_training_with_keras.ipynb) | 3 | build, train, save and load networks; see and fight overfitting |
# | [05 · Convolutional networks](05_convolutional_networks.ipynb) | 4 | train a network that reads your handwriting, look inside, examine its mistakes |
# | [06 · Recurrent networks](06_recurrent_networks.ipynb) | 3½ | train a network that invents names and reads words letter by letter; compare it with simple rivals |
# | [07 · Pretrained networks](07_pretrained_networks.ipynb) | 1¾ | use VGG16 and its like on photos, and teach them classes of your own |
# | [08 · Parameter sweeps](08_parameter_sweeps.ipynb) | 1½ | run experiments over parameters, and draw conclusions that hold |
#
# Each lesson needs those before it. You need to know Python's functions, loops and dictionaries, and for lesson 03 what a
# derivative is.
#
# ## How to work
#
# - Where a cell says `guess = None`, put your guess there before you run the next cell.
# - Change things. Every notebook runs again from the top: *Run → Restart Kernel and Run All Cells*.
# - After each lesson come its [exercises](exercises/01_exercises.ipynb), from ★ to ★★★. A check tells what is wrong, not
#   what is right. The solutions lie in the folder `solutions`.
# - Every term in bold is explained where it first appears, and in the [glossary](GLOSSARY.md).
# - The cell tagged `parameters` at the top of a lesson lets you use other data: `dataset = "fashion_mnist"`, or a path to
#   your own.
