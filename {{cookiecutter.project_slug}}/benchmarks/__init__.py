"""What each default buys, what Django's guide is worth here, and how two projects compare."""
