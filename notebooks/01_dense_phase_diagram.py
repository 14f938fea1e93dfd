# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     name: python3
#     display_name: Python 3
# ---

# %% [markdown]
# # Where a dense network remembers
#
# The phase diagram of the 4-body Hebbian network, and a finished run on it. The notebook only reads: make the run first with
# `make demo` (or `hebb run mpi_runs/demo.toml --out demo`). Open it with
# `jupytext --to ipynb notebooks/01_dense_phase_diagram.py`.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import hebb
from hebb.compare import compare_results
from hebb.theory import Dense

run = os.environ.get("HEBB_RUN", "demo")
results = hebb.load(run)
print(results.to_table())

# %% [markdown]
# Solid line: the retrieval state ends (spinodal). Dashed: retrieval and the best other state have equal free energy. The
# circles are the simulated points.

# %%
theory = Dense(p_body=4)
diagram = theory.phase_diagram(gamma=np.linspace(0, 0.5, 100), temperature=np.linspace(0.01, 1, 100))
figure, ax = plt.subplots(figsize=(6, 4.5))
diagram.plot(ax)
comparison = compare_results(results)
for row in comparison.rows:
    ax.plot(row.point["n_patterns"] * 12 / row.point["n_spins"] ** 3, row.point["temperature"], "o", color="black",
            markerfacecolor="white")

# %% [markdown]
# Simulation against theory, point by point. The last column of the summary shows what the infinite-size theory would have
# given.

# %%
print(comparison.table())

# %% [markdown]
# The capacity at T = 0 and how it is approached.

# %%
temperature = np.linspace(0, 0.9, 40)
plt.figure(figsize=(5, 3.5))
plt.plot([theory.spinodal(temperature=t).gamma for t in temperature], temperature)
plt.xlabel("load of the spinodal")
plt.ylabel("T")
plt.show()
