"""`python -m jobsdb` is `jobsdb`."""

import sys

from jobsdb.cli import main

sys.exit(main())
