"""Run the pages that changed two at a time, before Sphinx reads one after the other.

What MyST-NB finds in its cache it does not run again. A page that fails is left to it, so that one
place reports errors.
"""

import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from myst_nb.core.read import create_nb_reader
from nbclient.exceptions import DeadKernelError
from sphinx.util.display import status_iterator

from .gate import has_code_cells

# Each kernel has one thread and up to 1.5 GB.
WORKERS = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)


def run_changed_pages(app, env, docnames):
    """Fill the cache with the outputs of the pages that are about to be read."""
    config = env.mystnb_config
    if config.execution_mode != "cache":
        return
    cache = get_cache(config.execution_cache_path)
    waiting = {path: page for path, page in notebooks(env, docnames) if not is_cached(cache, page)}
    if not waiting:
        return
    # A fresh process a page, since a process knows only the largest of all kernels it has had.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, context, max_tasks_per_child=1) as pool:
        runs = {
            path: pool.submit(run_page, page, path, config.execution_timeout)
            for path, page in waiting.items()
        }
        told = status_iterator(
            runs, "running pages... ", "purple", len(runs), stringify_func=name_of
        )
        for path in told:
            store(cache, path, runs[path].result())


def notebooks(env, docnames):
    """Read the pages that hold code, as MyST-NB will."""
    for docname in docnames:
        path = env.doc2path(docname)
        text = Path(path).read_text(encoding="utf-8")
        if has_code_cells(text):
            reader = create_nb_reader(path, env.myst_config, env.mystnb_config, text)
            if reader is not None:
                yield path, reader.read(text)


def is_cached(cache, notebook):
    """Tell whether the cache holds outputs of the same cells."""
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def run_page(notebook, path, timeout):
    """Run one page in a kernel; return what came out, or None if a cell failed."""
    folder = str(Path(path).parent)
    try:
        result = single_nb_execution(notebook, cwd=folder, timeout=timeout, allow_errors=False)
    except DeadKernelError:
        return None
    if result.err is not None:
        return None
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # bytes, on Linux
    return notebook, {"execution_seconds": result.time, "peak_memory": peak}


def store(cache, path, result):
    """Put the outputs of a page into the cache."""
    if result is not None:
        notebook, data = result
        bundle = CacheBundleIn(notebook, path, data=data)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def name_of(path):
    """Name a page in the progress."""
    return Path(path).stem
