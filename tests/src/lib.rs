//! The test kit (src) and the whole-bot tests (it)
