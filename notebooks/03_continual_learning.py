# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     name: python3
#     display_name: Python 3
# ---

# %% [markdown]
# # Learning one task after another
#
# A perceptron with binary weights learns the answers of a teacher, then those of a second one (arXiv:2212.02846). How much of
# the first is left? Replica theory, sampling and gradient descent, computed on the spot in half a minute. Open it with
# `jupytext --to ipynb notebooks/03_continual_learning.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from hebb import models, simulate
from hebb.compare import compare_results
from hebb.theory import Perceptron

# %% [markdown]
# ## One task
#
# The test error against the number of examples per weight. There are two branches; grey: replica symmetry is not the answer.

# %%
theory = Perceptron(beta=20.0)
theory.curve(np.linspace(0.05, 2.0, 40)).plot()
plt.show()
print("coexistence:", ", ".join(f"{edge.alpha:.6f}" for edge in theory.spinodals()))
print(f"replica symmetry breaks at alpha = {theory.at_line().alpha:.6f}")

# %% [markdown]
# What the theory describes is the measure exp(-beta L) of the magnetisations. Hamiltonian Monte Carlo samples it:

# %%
sampled = simulate(models.VariationalPerceptron(301, [0.4]), temperature=[0.05, 0.2], disorder=24, dynamics="hmc",
                   start="random", thermalize=40, sweeps=160, measure_every=2, learning={"tune_sweeps": 60, "steps": 12},
                   seed=3)
print(compare_results(sampled).table())

# %% [markdown]
# ## Two tasks
#
# Gradient descent, with the divergence from the end of the first task in the loss of the second one and without. Dashed:
# replica symmetry, in which the first task's weights are a sample of its Gibbs measure; gradients minimise, so that this is
# a companion and no prediction.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
first = theory.first_task(alpha=2.0)
ends = {}
for ax, kl in zip(axes, (1.0, 0.0), strict=True):
    model = models.VariationalPerceptron(301, alpha=[2.0, 1.0], teacher_correlation=0.0, kl=[0.0, kl])
    run = simulate(model, 0.0, disorder=4, replicas=1, dynamics="gradient", start="random", thermalize=0, sweeps=1600,
                   measure_every=20, learning={"epochs": 800, "learning_rate": [5e-3, 1e-2]}, seed=4)
    errors = run.data["error"][0, :, :, 0].mean(axis=0)
    second = theory.second_task(first, alpha=1.0, teacher_correlation=0.0, kl=kl)
    for task, line in enumerate((second.error_task1, second.error_task2)):
        ax.plot(run.sweeps, errors[:, task], color=f"C{task}", label=f"task {task + 1}")
        ax.plot([800, 1600], [line, line], "--", color=f"C{task}")
    ax.set(xlabel="epoch", title=f"divergence x {kl:g}")
    ends[kl] = errors[-1]
axes[0].set_ylabel("test error")
axes[0].legend()
plt.show()
print(f"error on task 1 after task 2: {ends[1.0][0]:.3f} with the divergence, {ends[0.0][0]:.3f} without")

# %% [markdown]
# How much is kept, over the load of the second task and the likeness of the teachers:

# %%
themap = theory.second_task_map(first, np.linspace(0.25, 3.0, 6), [-0.5, 0.0, 0.5], kl=1.0)
for task in (1, 2):
    themap.plot(task=task)
plt.show()

# %% [markdown]
# ## Binary weights at a temperature
#
# The weights themselves may be sampled, the second task held to the first by a coupling. Every sample is compared with the
# theory of its own reference and teachers.

# %%
pair = models.SecondTask(models.BinaryPerceptron(301, alpha=1.5), alpha=1.0, teacher_correlation=0.5, coupling=1.0,
                         reference_sweeps=400)
weights = simulate(pair, temperature=1.0, disorder=12, start="reference", thermalize=100, sweeps=1000, measure_every=4,
                   seed=5)
print(compare_results(weights).table())
