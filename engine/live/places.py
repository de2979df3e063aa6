"""Where the files of one account's session lie; every process of the session finds them here.

One account has one folder, one database, one lease, so a second session of the account meets the first.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

PRIVATE_FOLDER = 0o700


@dataclass(frozen=True)
class Places:
    """
    The files of an account.

    Attributes
    ----------
    data_folder : Path
        The project's data folder, or that of a rehearsal.
    account : str
        "paper", "practice" or the user's id at the broker.
    """

    data_folder: Path
    account: str

    @property
    def folder(self) -> Path:
        """Holds everything that follows but the sockets."""
        return self.data_folder / "state" / self.account

    @property
    def database(self) -> Path:
        """The store."""
        return self.folder / "live.sqlite"

    @property
    def spec(self) -> Path:
        """What the session was started with."""
        return self.folder / "session.json"

    @property
    def contracts(self) -> Path:
        """The contracts fixed at the day's open."""
        return self.folder / "contracts.json"

    @property
    def kill_flag(self) -> Path:
        """A file whose mere existence says KILL; its text is the reason."""
        return self.folder / "KILL"

    @property
    def logs(self) -> Path:
        """Folder of the processes' own logs."""
        return self.folder / "logs"

    @property
    def paper_book(self) -> Path:
        """Orders and fills of the paper broker."""
        return self.folder / "paper_book.jsonl"

    @property
    def feed_socket(self) -> Path:
        """
        Where the feed listens; in a private folder of the system's, as a socket's path may not exceed 107 bytes.

        The folder is made, readable for nobody else.
        """
        name = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"workbench-{os.getuid()}" / name
        for each in (folder.parent, folder):
            each.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        return folder / "feed.sock"
