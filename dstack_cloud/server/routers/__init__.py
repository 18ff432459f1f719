"""One router a subject; each endpoint is one service call."""
