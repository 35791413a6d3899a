"""The demo organization of `make up`: Acme, 60 people, 90 days of history made by real commands at past times."""
