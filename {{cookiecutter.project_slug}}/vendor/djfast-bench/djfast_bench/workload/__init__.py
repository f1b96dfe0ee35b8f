"""The measured app, a catalogue of items; installed by `djfast_bench.settings` only."""
