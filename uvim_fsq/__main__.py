"""`python -m uvim_fsq`, the same as `uvim-fsq`."""

import sys

from uvim_fsq.cli.main import main

sys.exit(main())
