//! Tests of the run core.
