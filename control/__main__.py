"""`python -m control run`: the control plane of one cluster; `scheduler` and `controllers`: a part of one alone."""

from __future__ import annotations

import logging
import sys

from control.command_line import main

if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(main())
