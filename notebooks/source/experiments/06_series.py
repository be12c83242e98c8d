# %% [markdown]
# # An experiment: tomorrow's price of a share
#
# From the changes of a share's price in the last 20 days a network predicts the next change. The share is Google's,
# 2004 to 2008, which comes with matplotlib. It learns from the years up to 2006 and is tested on 2007 and on 2008.

# %%
from helpers.runs import record

import keras
import numpy as np
from keras import layers
from matplotlib import cbook

# %% tags=["parameters"]
network: str = "linear"  # linear, or gru
epochs: int = 2  # times through the 576 training days
seed: int = 0  # of the first weights and the order

# %%
days = cbook.get_sample_data("goog.npz")["price_data"]
price = days["adj_close"]
change = np.diff(np.log(price)) * 100  # about per cent
window = 20
x = np.lib.stride_tricks.sliding_window_view(change, window)[:-1, :, None].astype("float32")
y = change[window:].astype("float32")
today, tomorrow = price[window:-1], price[window + 1 :]
year = days["date"][window + 1 :].astype("datetime64[Y]").astype(int) + 1970
train = year <= 2006

# %%
keras.utils.set_random_seed(seed)
body = layers.Flatten() if network == "linear" else layers.GRU(16)
model = keras.Sequential([keras.Input((window, 1)), body, layers.Dense(1)])
model.compile(keras.optimizers.Adam(0.003), "mean_absolute_error")

# %% tags=["nbval-ignore-output"]
model.fit(x[train], y[train], batch_size=32, epochs=epochs, verbose=2)
predicted = today * np.exp(model.predict(x, verbose=0)[:, 0] / 100)

# %% tags=["nbval-ignore-output"]
errors = {"network": np.abs(predicted - tomorrow), "as_today": np.abs(today - tomorrow)}
record(
    dataset="goog",
    **{f"mae_{who}_{y}": float(e[year == y].mean()) for who, e in errors.items() for y in (2007, 2008)},
)  # fmt: skip
