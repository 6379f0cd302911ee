//! The HTTP face: API, chat endpoints, metrics
