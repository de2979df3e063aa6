"""From ticks to bars to days, and the Parquet lake that keeps them."""
