"""The app that is measured, a catalogue of items; installed under `benchmarks.settings` only."""
