"""`python -m dstack_cloud` is `dstack`."""

from dstack_cloud.cli.main import main

main()
