"""The quickstart runs from its first cell to its last, and the model that it trains has learnt.

The cells are plain Python, so they are executed here as one program. A Jupyter kernel would need
five more packages and would test the kernel.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


@pytest.mark.slow
def test_the_quickstart_runs() -> None:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert 5 <= len(cells) <= 8
    assert not any(cell["outputs"] for cell in cells), "outputs are of one machine: clear them"
    program = "\n".join("".join(cell["source"]) for cell in cells)
    done = subprocess.run(
        [sys.executable, "-c", program + "\nassert accuracy > 0.6\n"],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "accuracy on 60 new images" in done.stdout
