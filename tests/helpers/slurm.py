"""A Slurm of one machine: `sbatch`, `srun`, `scontrol requeue` and `sacct`, for arrays of jobs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_COMMON = f"""#!{sys.executable}
import os, re, subprocess, sys, time
from pathlib import Path

here = Path(__file__).resolve().parents[1]

def start(task):
    of_job = dict(
        JOB_ID=78 + task, ARRAY_JOB_ID=77, ARRAY_TASK_ID=task, JOB_NAME="train", JOB_NUM_NODES=1,
        JOB_NODELIST="here", NODEID=0, PROCID=0, LOCALID=0, NTASKS=1, NTASKS_PER_NODE=1,
    )
    env = os.environ | {{f"SLURM_{{name}}": str(value) for name, value in of_job.items()}}
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen(["bash", here / "script.sh"], env=env, start_new_session=True, **nothing)
"""
_SBATCH = """
script = Path(sys.argv[1]).read_text()
(here / "script.sh").write_text(script)
for task in range(int(re.search(r"--array=0-(\\d+)", script)[1]) + 1):
    start(task)
print("Submitted batch job 77")
"""
_SRUN = """
task = os.environ["SLURM_ARRAY_TASK_ID"]
(here / f"{task}.pid").write_text(str(os.getpid()))
words = sys.argv[1:]
first = next(n for n, word in enumerate(words) if word.endswith("python") or "/python" in word)
for option, stream in (("--output", 1), ("--error", 2)):
    path = words[words.index(option) + 1]
    for letter, value in (("%A", "77"), ("%a", task), ("%t", "0")):
        path = path.replace(letter, value)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
os.execvp(words[first], words[first:])
"""
_SCONTROL = """
with (here / "asked").open("a") as asked:
    asked.write(" ".join(sys.argv[1:]) + "\\n")
if os.fork() == 0:
    os.setsid()
    task = int(sys.argv[2].partition("_")[2])
    pid = int((here / f"{task}.pid").read_text())
    while os.path.exists(f"/proc/{pid}/exe"):
        time.sleep(0.1)
    start(task)
"""
_SACCT = """
print("JobID|State|NodeList")
for path in here.glob("*.pid"):
    print(f"77_{path.stem}|RUNNING|here")
"""


class Slurm:
    """Its commands lie in `<folder>/bin`; what was submitted and asked lies in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = f"{folder}/bin:{os.environ['PATH']}"
        (folder / "bin").mkdir(parents=True)
        commands = {"sbatch": _SBATCH, "srun": _SRUN, "scontrol": _SCONTROL, "sacct": _SACCT}
        for name, text in commands.items():
            program = folder / "bin" / name
            program.write_text(_COMMON + text)
            program.chmod(0o755)

    def options(self) -> set[str]:
        """The `#SBATCH` lines of the last submission."""
        lines = (self.folder / "script.sh").read_text().splitlines()
        return {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")}

    def asked(self) -> list[str]:
        """What `scontrol` was asked."""
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def send(self, task: int, signum: int) -> None:
        os.kill(int((self.folder / f"{task}.pid").read_text()), signum)
