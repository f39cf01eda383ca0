"""Calibration: readings and their intervals on planted truth."""

from .calibration import calibrate

__all__ = ["calibrate"]
