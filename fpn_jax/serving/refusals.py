"""Requests that are not answered with objects: a status and one line."""

RETRY_SECONDS = 1  # what a client is told to wait where the server is full

# nginx's number for a client that is gone before the answer; it is only counted.
GONE = 499


class Refused(Exception):
    """Says why a request is refused, in the client's words."""

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status, self.line = status, line
