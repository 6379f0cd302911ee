//! Mattermost: slash commands in, results out
