"""`python -m control run`: the control plane of one cluster; `scheduler` and `controllers`: a part of one alone."""

from __future__ import annotations

import logging
import sys

from control.command_line import main

if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # No line names its thread, process or task: each record is spared the asking.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    sys.exit(main())
