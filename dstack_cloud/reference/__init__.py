"""What docs/reference says that the code knows already: `make docs` writes it there. Nothing that runs imports this."""
