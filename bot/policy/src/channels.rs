//! Which intents may be asked for in which channel of a chat.

use std::collections::BTreeMap;

use rave_domain::ports::surface::Place;
use rave_domain::{ErrorCode, IntentName, Surface, UserError};
use serde::Deserialize;

use crate::fault::{Fault, Faults};
use crate::people::OneOrMany;

/// `[channels."slack:C01"]`, or `[channels."slack:*"]` for every other channel of a surface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// What may be asked for there: names of intents, or beginnings of names with a `*` behind.
    pub intents: OneOrMany,
}

/// Channels that are bound to intents. A channel that is not named is free.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    bound: BTreeMap<(Surface, String), Vec<String>>,
}

impl Channels {
    /// Checks the section.
    ///
    /// # Errors
    /// Everything that is wrong: names that are not `surface:channel`, and patterns that no intent
    /// has, because a slip there would lock out what was meant to be let in.
    pub fn load(
        section: &BTreeMap<String, ChannelConfig>,
        intents: &[&IntentName],
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut bound = BTreeMap::new();
        for (name, channel) in section {
            let Some(key) = key(name) else {
                faults.push(
                    Fault::new(
                        format!("channels.{name}"),
                        "the name is not a chat's surface and a channel's id",
                    )
                    .hint("write \"slack:C01\", or \"slack:*\" for all other channels"),
                );
                continue;
            };
            let patterns: Vec<String> = channel
                .intents
                .0
                .iter()
                .flat_map(|list| list.split(','))
                .map(|pattern| pattern.trim().to_owned())
                .filter(|pattern| !pattern.is_empty())
                .collect();
            for pattern in &patterns {
                if !intents.iter().any(|intent| fits(pattern, intent)) {
                    faults.push(
                        Fault::new(
                            format!("channels.{name}.intents"),
                            format!("no intent is named {pattern}"),
                        )
                        .hint("`rave check` lists the intents"),
                    );
                }
            }
            bound.insert(key, patterns);
        }
        faults.or(Self { bound })
    }

    /// Whether an intent may be asked for in a place.
    ///
    /// # Errors
    /// `policy_denied`, with what may be asked for there.
    pub fn allow(
        &self,
        surface: Surface,
        place: &Place,
        intent: &IntentName,
    ) -> Result<(), UserError> {
        let own = (surface, place.channel.clone());
        let others = (surface, "*".to_owned());
        let Some(patterns) = self.bound.get(&own).or_else(|| self.bound.get(&others)) else {
            return Ok(());
        };
        if patterns.iter().any(|pattern| fits(pattern, intent)) {
            return Ok(());
        }
        let hint = if patterns.is_empty() {
            "nothing may be asked for here; use another channel".to_owned()
        } else {
            format!("{} may be asked for here", patterns.join(", "))
        };
        Err(UserError::new(
            ErrorCode::PolicyDenied,
            format!("{intent} may not be asked for in this channel"),
        )
        .hint(hint))
    }
}

fn key(name: &str) -> Option<(Surface, String)> {
    let (surface, channel) = name.split_once(':')?;
    let surface: Surface = surface.parse().ok()?;
    let is_chat = matches!(
        surface,
        Surface::Mattermost | Surface::Slack | Surface::Discord
    );
    (is_chat && !channel.is_empty()).then(|| (surface, channel.to_owned()))
}

fn fits(pattern: &str, intent: &IntentName) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => intent.as_str().starts_with(beginning),
        None => intent.as_str() == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(text: &str) -> Result<Channels, Faults> {
        let section: BTreeMap<String, ChannelConfig> = toml::from_str(text).unwrap();
        let names: Vec<IntentName> = ["rollout_media", "vm.start", "vm.stop"]
            .map(|name| IntentName::new(name).unwrap())
            .to_vec();
        let intents: Vec<&IntentName> = names.iter().collect();
        Channels::load(&section, &intents)
    }

    fn may(channels: &Channels, surface: Surface, channel: &str, intent: &str) -> bool {
        let place = Place {
            channel: channel.to_owned(),
            ..Place::default()
        };
        let intent = IntentName::new(intent).unwrap();
        channels.allow(surface, &place, &intent).is_ok()
    }

    #[test]
    fn a_bound_channel_takes_what_it_names_and_a_free_one_everything() {
        let channels = channels(
            "[\"slack:C1\"]\nintents = ['vm.*']\n[\"slack:*\"]\nintents = 'rollout_media'\n\
             [\"discord:7\"]\nintents = []\n",
        )
        .unwrap();
        for (surface, channel, intent, allowed) in [
            (Surface::Slack, "C1", "vm.start", true),
            (Surface::Slack, "C1", "rollout_media", false),
            (Surface::Slack, "C2", "rollout_media", true),
            (Surface::Slack, "C2", "vm.start", false),
            (Surface::Slack, "", "vm.start", false),
            (Surface::Discord, "7", "rollout_media", false),
            (Surface::Discord, "8", "rollout_media", true),
            (Surface::Mattermost, "C1", "rollout_media", true),
        ] {
            assert_eq!(
                may(&channels, surface, channel, intent),
                allowed,
                "{surface} {channel} {intent}"
            );
        }
    }

    #[test]
    fn slips_are_errors() {
        for bad in [
            "[C1]\nintents = 'vm.*'",
            "[\"http:x\"]\nintents = 'vm.*'",
            "[\"slack:\"]\nintents = 'vm.*'",
            "[\"slack:C1\"]\nintents = 'vms.*'",
        ] {
            assert!(channels(bad).is_err(), "{bad}");
        }
    }
}
