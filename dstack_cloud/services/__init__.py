"""Use cases, one a function. They read and write rows and objects, and wake the orchestrator; they wait for nothing."""
