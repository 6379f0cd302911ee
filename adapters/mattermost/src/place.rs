//! Where something is said, as Mattermost names channels.

use rave_domain::ports::surface::{Place, Privacy};

/// A channel by its id and name. The name of a direct conversation is the two user ids with `__`
/// between (`model.GetDMNameFromIds`); with the bot in it nobody else reads along.
pub(crate) fn of(channel: &str, name: &str, bot: Option<&str>) -> Place {
    let with_bot = bot.is_some_and(|bot| {
        name.split_once("__")
            .is_some_and(|(one, other)| one == bot || other == bot)
    });
    Place {
        channel: channel.to_owned(),
        privacy: if with_bot {
            Privacy::Direct
        } else {
            Privacy::Shared
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_conversation_with_the_bot_itself_is_private() {
        for (name, bot, privacy) in [
            ("u1__b1", Some("b1"), Privacy::Direct),
            ("b1__u1", Some("b1"), Privacy::Direct),
            ("u1__u2", Some("b1"), Privacy::Shared),
            ("u1__b1", None, Privacy::Shared),
            ("town-square", Some("b1"), Privacy::Shared),
            ("b1", Some("b1"), Privacy::Shared),
        ] {
            assert_eq!(of("c1", name, bot).privacy, privacy, "{name} {bot:?}");
        }
    }
}
