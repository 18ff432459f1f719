"""Carries what a runner needs and owes between it and the object store: in a thread of the server, or on the machine itself.

What runs on machines (`main` and what it imports) needs obstore and zstandard, and nothing else that isn't Python's own.
"""
