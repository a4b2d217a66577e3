"""A program that does many trials on one kernel: `endurance.py PLACE WORKERS`.

PLACE/jobs.json names commands; what each printed goes to PLACE/outcomes.json if it failed, "" if not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MINUTES = 60


def one(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * MINUTES)
    except subprocess.TimeoutExpired as late:
        return f"it did not end: {late.output!r}"
    return f"status {done.returncode}: {done.stdout}" if done.returncode else ""


def main() -> None:
    place, workers = Path(sys.argv[1]), int(sys.argv[2])
    jobs: dict[str, list[str]] = json.loads((place / "jobs.json").read_text())
    with ThreadPoolExecutor(workers) as pool:
        outcomes = dict(zip(jobs, pool.map(one, jobs.values()), strict=True))
    (place / "outcomes.json").write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main()
