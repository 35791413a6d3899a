"""The contract of Muster with its subscribers: events, envelope, topics, schemas and a small SDK."""

__version__ = "1.0.0"
