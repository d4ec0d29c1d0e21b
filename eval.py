"""Evaluate: `python eval.py checkpoint=RUN_FOLDER [evaluation=[…]]`; `--help` lists the groups."""

from cyclip_pl.cli import evaluate

if __name__ == "__main__":
    evaluate()
