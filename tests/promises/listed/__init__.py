"""Small changes to the code, by analysis; each breaks a promise that a test of `tests.promises` must notice."""
