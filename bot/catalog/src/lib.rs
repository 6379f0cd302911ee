//! Intent files and schedules become a checked catalog; the command grammar and help
