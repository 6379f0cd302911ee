//! Discord: audit alerts through a webhook
