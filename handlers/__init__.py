"""The handlers that ship. Strangers to each other; registered by entry point exactly as a third party's."""
