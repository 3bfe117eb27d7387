"""A Chromium that is installed already, and a server for what it shows."""

import functools
import http.server
import shutil
import threading
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium():
    """Return the path of Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def start_chromium(playwright):
    """Start Chromium for as long as it is needed; its absence is said."""
    path = find_chromium()
    if path is None:
        raise SystemExit(f"no browser found: install one of {', '.join(NAMES)}")
    # A container's root may not use Chromium's sandbox; the pages are our own.
    started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
    try:
        yield started
    finally:
        started.close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files and say nothing."""

    def log_message(self, *args):
        """Say nothing."""


@contextmanager
def serve(folder):
    """Serve a folder, on the loopback interface only, and give its address."""
    handler = functools.partial(QuietHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
