"""`python -m agent`."""

from __future__ import annotations

import logging
import os
import sys

from agent.main import main

if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    # Without waiting for threads: one may hang in a call to an engine that does not answer.
    os._exit(status)
