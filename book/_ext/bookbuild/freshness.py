"""Throw away stored outputs that an older library, lock or build extension made."""

import hashlib
import shutil
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)

WATCHED = ("lib", "book/_ext", "requirements.txt")
IGNORED_PARTS = {"__pycache__"}


def watched_files(root):
    """List the files whose change makes stored outputs stale, in a fixed order."""
    for name in WATCHED:
        path = root / name
        found = [path] if path.is_file() else path.rglob("*")
        for file in sorted(found):
            hidden = IGNORED_PARTS & set(file.parts) or ".egg-info" in file.as_posix()
            if file.is_file() and not hidden:
                yield file


def fingerprint(root):
    """Hash the names and contents of the watched files, whatever the line endings."""
    digest = hashlib.sha256()
    for file in watched_files(root):
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def drop_stale_outputs(app, config):
    """Remove the execution cache and the stored environment when the fingerprint has changed.

    Jupyter Book looks at a page's own text only, so without this an edit in ``lib/`` leaves the
    old figures on the page. Both must go: pages found unchanged are never read again, and a page
    that is read again takes its outputs from the execution cache. The event ``config-inited``
    comes before Sphinx loads the environment.
    """
    build = Path(app.outdir).parent
    stamp = build / ".fingerprint"
    current = fingerprint(Path(app.srcdir))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == current:
        return
    cache = Path(config.nb_execution_cache_path or build / ".jupyter_cache")
    if cache.exists():
        logger.info("the library, the lock or the build extension changed: running every page")
        shutil.rmtree(cache)
    (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(current, encoding="utf-8")
