"""What a person sees: plots, and later panels, comparison, server."""
