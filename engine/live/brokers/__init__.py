"""Brokers behind one small protocol: each adapter passes the same suite of tests (`tests/brokers`)."""
