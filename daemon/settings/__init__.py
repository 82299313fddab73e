"""One typed model of all settings, its sources, the origin of each value, and the secrets."""

from daemon.settings.load import Loaded, changed_keys, load, reload
from daemon.settings.model import Settings
from daemon.settings.paths import Paths
from daemon.settings.redact import Redactor
from daemon.settings.secrets import Secret, Secrets, without_secrets

__all__ = [
    "Loaded",
    "Paths",
    "Redactor",
    "Secret",
    "Secrets",
    "Settings",
    "changed_keys",
    "load",
    "reload",
    "without_secrets",
]
