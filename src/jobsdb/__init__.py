"""Campaigns of agent steps that people approve before they happen, inside PostgreSQL.

All business logic is SQL (the folder ``sql/``); this package deploys it, checks it and shows it.
"""

__version__ = "0.1.0"
