"""Condition types, and the reasons that a machine may look for."""

from enum import StrEnum


class Type(StrEnum):
    """Of a condition in status.conditions. Reconciling and Stalled are kstatus's."""

    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SIZED = "Sized"
    ADMITTED = "Admitted"
    SUSPENDED = "Suspended"
    TRAINED = "Trained"
    EVALUATED = "Evaluated"
    EXPORTED = "Exported"
    COMPLETE = "Complete"
    FAILED = "Failed"
