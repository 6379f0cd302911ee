//! Whole-bot tests.
