//! The store port on SQLite: journal, inbox, outbox, audit chain
