"""`python -m dstack_cloud.server`: serves the state folder named by DSTACK_HOME until it is stopped or idle."""

import sys

from dstack_cloud.server.process import main

if __name__ == "__main__":
    sys.exit(main())
