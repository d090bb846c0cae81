"""Errors that a user can mend: each says what is wrong, where, and what to do."""


class ViadError(Exception):
    """Base of all errors that end a stage with a message instead of a traceback."""


class ConfigError(ViadError):
    """A value in params.yaml (or an override of it) cannot be used."""


class DataError(ViadError):
    """A file of the dataset is missing, unreadable or contradicts another."""


class WeightsError(ViadError):
    """A backbone's weights are not on this machine and cannot be fetched."""
