"""What people are told of a session, and how it reaches them."""
