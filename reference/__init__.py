"""Measure generated projects against each other and against stock Django; write the figures of docs/."""
