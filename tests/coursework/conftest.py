import shutil
import subprocess

import pytest
from grader.term import Term


def sandbox_works():
    """Tell whether bubblewrap is here, and this machine lets it shut a process off."""
    if shutil.which("bwrap") is None:
        return False
    tried = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def pytest_collection_modifyitems(items):
    """Grading needs a sandbox, which only Linux has."""
    sandboxed = [item for item in items if "sandboxed" in item.keywords]
    if sandboxed and not sandbox_works():
        for item in sandboxed:
            item.add_marker(pytest.mark.skip(reason="bubblewrap does not work here"))


@pytest.fixture(scope="session")
def term():
    return Term("Test term", "a secret for the tests of the grader")
