"""Wrote task_schema1.h5 and results_schema1.h5 when the layout had version 1. Kept to show what they contain; running
it again under a later layout would defeat their purpose, so it refuses."""

import sys
from pathlib import Path

here = Path(__file__).parent
sys.path[:0] = [str(here.parent), str(here.parent.parent)]

from test_storage import plan_of, record  # noqa: E402

from hebb.storage import schema  # noqa: E402
from hebb.storage.results import Results  # noqa: E402
from hebb.storage.taskfile import write_task  # noqa: E402

assert schema.SCHEMA_VERSION == 1, "these files belong to layout 1"
write_task(here / "task_schema1.h5", record(0, status="unfinished"))
Results.from_records(plan_of(), [record(d, t) for t in (0.5, 0.7) for d in range(3)]).save(here / "results_schema1.h5")
