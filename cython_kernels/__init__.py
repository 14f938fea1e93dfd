"""Compiled kernels: numpy only, no knowledge of models."""
