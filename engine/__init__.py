"""Music out of a request. Front ends use the names exported here alone; no Discord and no trainer in it."""

from engine.errors import (
    Busy,
    CheckpointProblem,
    EngineClosed,
    InvalidRequest,
    RenderFailed,
    SetupProblem,
    StorageProblem,
)
from engine.types import ComposeRequest, Composition, Engine, Originality, Progress, ProgressCallback, Stage

__all__ = [
    "Busy",
    "CheckpointProblem",
    "ComposeRequest",
    "Composition",
    "Engine",
    "EngineClosed",
    "InvalidRequest",
    "Originality",
    "Progress",
    "ProgressCallback",
    "RenderFailed",
    "SetupProblem",
    "Stage",
    "StorageProblem",
]
