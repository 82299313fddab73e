"""Logs, event names, metrics and what the service manager is told."""
