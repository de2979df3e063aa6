"""The command line: `workbench`, the same as `python -m engine.cli`.

Every command answers people with tables and programs with one JSON object (`--json`). An error that the user
can mend is one line on standard error and exit code 2. Nothing heavy is imported before a command needs it.
"""

import sys


def main() -> None:
    """Run the command line."""
    from engine.cli.app import app
    from engine.errors import WorkbenchError

    try:
        app()
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        sys.stderr.write(
            f"error: {error.filename}: {(error.strerror or str(error)).lower()}; choose another place or free it\n"
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what was finished is kept\n")
        sys.exit(130)
