"""A second opinion: the rules in plain Python, written from the rule book and sharing no code with the kernels."""
