"""One package for research and live trading of NSE index options."""
