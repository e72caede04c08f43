"""A plan from a file, the same as `vision run VIDEO --plan plan.toml`: python examples/plan.py VIDEO"""

import sys
from pathlib import Path

from vision import Csv, Run, read, read_plan

Path("plan.toml").write_text("""
[[do]]
task = "detect"
min_score = 0.4

[[do]]
task = "classify"
every = 10
""")
with Run(read(sys.argv[1]), read_plan("plan.toml"), [Csv("out.csv")]) as run:
    print(run.finish())
