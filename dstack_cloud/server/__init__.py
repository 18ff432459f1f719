"""The server: FastAPI over the services, on a Unix socket that the CLI starts it on."""
