"""The runner: serves one job on one machine. Python's standard library only; shipped as a zipapp (see `bundle`)."""
