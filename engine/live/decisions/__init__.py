"""The parts of the session, a state machine without I/O: what it is told, knows, asks for, and rebuilds."""
