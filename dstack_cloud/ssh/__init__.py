"""SSH to machines whose host keys are known beforehand. The only package that imports paramiko.

`connection` loads paramiko (a tenth of a second); `pool` and `keys` load what they need when they are first used.
"""
