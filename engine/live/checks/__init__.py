"""The single checks of the pre-flight."""
