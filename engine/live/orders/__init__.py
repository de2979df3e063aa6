"""What stands behind the gateway: checks, lanes, slices, single requests, the ladder of an exit."""
