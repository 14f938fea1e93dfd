# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     name: python3
#     display_name: Python 3
# ---

# %% [markdown]
# # One network, several memories
#
# Patterns with zeros leave spins free for other patterns. A Hopfield network then retrieves several of them at once, in a
# hierarchy or in parallel (arXiv:2308.04106). Everything here is computed on the spot, in half a minute. Open it with
# `jupytext --to ipynb notebooks/02_multitasking.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from hebb import models, simulate
from hebb.compare import compare_results
from hebb.theory import Multitask

# %% [markdown]
# Three patterns whose entries vanish with probability d = 0.3, nearly at T = 0. Every spin follows the first pattern that
# has an entry there: the overlaps are p d^(k-1) with p = 1 - d.

# %%
d = 0.3
model = models.Multitask(n_spins=10_000, n_patterns=3, dilution=d)
cold = simulate(model, temperature=0.01, disorder=8, start="hierarchical", dynamics="glauber", thermalize=30, sweeps=50)
for k in range(3):
    print(f"m_{k + 1} = {cold['m'].mean[0, k]:.4f} +- {cold['m'].raw_error[0, k]:.4f}   p d^{k} = {(1 - d) * d**k:.4f}")

# %% [markdown]
# Most of that error is the patterns', not the chain's. Each sample has its own theory, at its own shares of columns, and
# that is what `hebb compare` compares:

# %%
warm = simulate(model, temperature=[0.08, 0.12, 0.3], disorder=8, start="hierarchical", dynamics="glauber", thermalize=60,
                sweeps=400)
print(compare_results(warm).table())

# %% [markdown]
# On cooling, one pattern after the other is switched on. Lines: theory. Points: 10^8 spins, by classes of spins whose columns
# agree, drawn with an exact Gibbs sampler that does not know how many spins there are.

# %%
theory = Multitask(n_patterns=3, dilution=d)
temperature = np.linspace(0.01, 1.05 * theory.critical_temperature(), 70)
amplitudes = np.array([theory.states(t)[0].m for t in temperature])
points = np.linspace(0.05, 0.65, 7)
large = simulate(models.Multitask(10**8, 3, d), temperature=list(points), disorder=2, start="hierarchical",
                 dynamics="hubbard_stratonovich", thermalize=300, sweeps=300)
plt.figure(figsize=(5.5, 3.6))
plt.plot(temperature, amplitudes)
plt.gca().set_prop_cycle(None)
plt.plot(points, np.abs(large["m"].mean), "o")
plt.xlabel("T")
plt.ylabel("overlaps")
plt.show()
off = np.max(np.abs(np.abs(large["m"].mean) - [theory.states(t)[0].m for t in points]))
print(f"largest deviation at N = 1e8: {off:.1e}")

# %% [markdown]
# Which state is the lowest, over dilution and temperature (in units of T_c):

# %%
diagram = Multitask.phase_diagram(2, np.linspace(0.02, 0.96, 30), np.linspace(0.0, 1.05, 30), normalize_dilution=True)
diagram.plot()
plt.show()

# %% [markdown]
# With noisy examples instead of the patterns there are thresholds. Beyond rho_par the noise hides the hierarchy and both
# patterns are retrieved alike; unsupervised, beyond rho_x, one example is cheaper than what all have in common.

# %%
pair = Multitask(n_patterns=2, dilution=d)
print(f"rho_par = {pair.parallel_threshold().rho:.6f}: {pair.parallel_threshold(r=0.3).n_examples:.0f} examples of r = 0.3")
print(f"rho_x   = {Multitask(n_patterns=1, dilution=d).example_crossing().rho:.6f} (one pattern, T = 0)")
