"""`make chaos`: services are killed, cut off, slowed down; every call still ends as it should."""
