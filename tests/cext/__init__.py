"""Tests of the C kernel; skipped where it is not built."""
