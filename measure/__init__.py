"""What stands in docs/: projects generated, measured and compared, and the tables made from that."""
