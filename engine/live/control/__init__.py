"""Around the runner: how a session's processes are started, watched, found again and ended."""
