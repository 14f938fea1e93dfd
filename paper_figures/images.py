"""Learning curves of real images: how retrieval and recognition grow with the number of examples, with and without a remedy for
the correlation of the archetypes, and what the states look like.

    hebb run mpi_runs/images_mnist.toml --data FOLDER --ranks 2
    hebb run mpi_runs/images_mnist_unsupervised.toml --data FOLDER --ranks 2
    python paper_figures/images.py FIGURE.png runs/images_mnist runs/images_mnist_unsupervised

The pictures are those of the first run folder.
"""

from __future__ import annotations

import sys

import hebb
from hebb.pictures import learning_figure

if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python paper_figures/images.py FIGURE.png RUN_FOLDER [RUN_FOLDER ...]")
    learning_figure(*map(hebb.load, sys.argv[2:])).savefig(sys.argv[1], dpi=150)
