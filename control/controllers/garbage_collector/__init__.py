"""The garbage collector: dependents follow their owners, in the background, before them, or not at all."""
