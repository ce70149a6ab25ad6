"""Prefect tasks: one thin function per step."""
