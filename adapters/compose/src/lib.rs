//! The driver for Docker Compose stacks and their backups
