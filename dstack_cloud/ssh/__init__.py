"""SSH to machines whose host keys are known beforehand. The only package that imports paramiko.

`Connection` and `Connections` load paramiko (a tenth of a second), `keys` doesn't: import from the modules.
"""
