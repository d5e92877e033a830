"""The package's logger: ``logging.getLogger("tenon")``. Silent until the program sets logging up."""

from __future__ import annotations

import logging

logger = logging.getLogger("tenon")
logger.addHandler(logging.NullHandler())
