"""Hand-made archives, and a server for them on this machine."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from archives import TEST, TRAIN, as_members, random_records, write_archive

from freqsense.datasets import ARCHIVES


@pytest.fixture
def batches():
    """Batches of unequal sizes, out of order and among other files, as in the official archive."""
    names = [TRAIN[0], TRAIN[2], TRAIN[3], TEST, TRAIN[4], TRAIN[1]]
    return {name: random_records(3 + k, seed=k) for k, name in enumerate(names)}


@pytest.fixture
def archive(tmp_path, batches):
    """Bytes of a hand-made CIFAR-10 archive."""
    return write_archive(tmp_path / "made.tar.gz", as_members(batches)).read_bytes()


class Server:
    """Serves ``content`` on 127.0.0.1, the first requests as ``plan`` says.

    "whole" : all of it; so are all requests after the plan
    "drop" : half of it, then the connection is closed
    "drop unsaid" : the same, without having said how long the whole is
    "missing" : 404
    """

    def __init__(self, publish):
        self.content, self.plan, self.n_requests, self.at_half = b"", [], 0, lambda: None
        self.publish = publish
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.n_requests += 1
                server.answer(self, server.plan.pop(0) if server.plan else "whole")

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/mirror"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, handler, how):
        half = len(self.content) // 2
        handler.send_response(404 if how == "missing" else 200)
        if how in ("whole", "drop"):
            handler.send_header("Content-Length", str(len(self.content)))
        handler.end_headers()
        if how == "missing":
            return
        handler.wfile.write(self.content[:half])
        handler.wfile.flush()
        self.at_half()
        if how == "whole":
            handler.wfile.write(self.content[half:])

    def serve(self, content, *plan):
        """Serve this from now on, as what is published; returns what a download is called with."""
        self.content, self.plan = content, list(plan)
        self.publish(self.address, hashlib.sha256(content).hexdigest())
        return {"progress": False}

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(5)


@pytest.fixture
def publish(monkeypatch):
    """A function that moves all archives to an address, with another sum if it is given one."""
    official = dict(ARCHIVES)

    def publish(address, sha256=None):
        for name, archive in official.items():
            moved = replace(archive, url=f"{address}/{archive.file}")
            moved = moved if sha256 is None else replace(moved, sha256=sha256)
            monkeypatch.setitem(ARCHIVES, name, moved)

    return publish


@pytest.fixture
def server(monkeypatch, publish):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server(publish)
    yield running
    running.stop()


@pytest.fixture
def pauses(monkeypatch):
    """Lengths of the pauses between tries, which are not made."""
    made = []
    monkeypatch.setattr("pooch.core.time.sleep", made.append)
    return made
