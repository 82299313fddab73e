"""Durable runs. The only room that knows DBOS."""
