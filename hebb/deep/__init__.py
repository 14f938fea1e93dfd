"""Deep networks with binary weights that learn tasks in sequence; see docs/deep.md. The only room that imports PyTorch, and
only when a network is trained: `hebb.deep.trainer` can be asked what it accepts without it."""
